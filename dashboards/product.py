"""How Courtyard itself fares: the dashboard over its own metrics, which Prometheus keeps (docs/metrics.md)."""

from __future__ import annotations

from dataclasses import dataclass

from dashboards.frame import Json, finished, frame, short, with_address
from dashboards.panels import legend, letter
from dashboards.sdk import (
    ReduceDataOptions,
    VizTooltipOptions,
    boards,
    common,
    dashboard,
    prometheus,
    stat,
    statetimeline,
    timeseries,
)
from dashboards.words import GREEN, GREY, ORANGE, RED
from device_profiles.schema import Text

NAME = "product"
METRICS = common.DataSourceRef(type_val="prometheus", uid="${metrics}")
_HERE = 'instance=~"$instance"'


@dataclass(frozen=True)
class Curve:
    """One PromQL query and what its series are called; `{…}` in a query is where the chosen instances go."""

    query: str
    name: Text | str = ""


@dataclass(frozen=True)
class Chart:
    title: Text
    uom: str
    curves: tuple[Curve, ...]
    about: Text | None = None


@dataclass(frozen=True)
class Tile:
    """One number now: green, from `warn` on orange, from `bad` on red; or the words for 0 and 1."""

    title: Text
    query: str
    uom: str = "short"
    warn: float | None = None
    bad: float | None = None
    words: tuple[Text, Text] | None = None


@dataclass(frozen=True)
class Part:
    title: Text
    charts: tuple[Chart, ...]


def t(zh: str, en: str) -> Text:
    return Text(zh=zh, en=en)


_YES_NO = (t("断开", "cut"), t("正常", "fine"))
TILES = (
    Tile(t("数据库", "Database"), "min(courtyard_database_up{…})", words=(t("不应答", "does not answer"), _YES_NO[1])),
    Tile(
        t("MQTT 连接", "Broker"),
        "min(courtyard_gateway_broker_connected{…})",
        words=(t("断开", "cut"), t("已连接", "connected")),
    ),
    Tile(
        t("交付", "Sinks"),
        "1 - max(courtyard_sink_failing{…})",
        words=(t("失败", "failing"), _YES_NO[1]),
    ),
    Tile(t("网关静默最久", "Longest silence of a gateway"), "max(courtyard_gateway_silent_seconds{…})", "s", 60, 180),
    Tile(t("积压最久", "Oldest backlog"), "max(courtyard_journal_backlog_age_seconds{…})", "s", 60, 300),
    Tile(t("通知等待最久", "Oldest notice"), "max(courtyard_outbox_oldest_seconds{…})", "s", 120, 900),
    Tile(t("隔离区消息", "In quarantine"), "sum(courtyard_quarantine_entries{…})", "short", 1, 1000),
    Tile(
        t("磁盘已用", "Disk in use"),
        "max(1 - courtyard_disk_free_bytes{…} / courtyard_disk_size_bytes{…})",
        "percentunit",
        0.9,
        0.98,
    ),
)


def _quantile(share: str, metric: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({metric}_bucket{{…}}[$__rate_interval])))"


def _times(metric: str, zh: str, en: str) -> tuple[Curve, Curve]:
    return (
        Curve(_quantile("0.5", metric), t(f"{zh} 中位", f"{en}, median")),
        Curve(_quantile("0.99", metric), t(f"{zh} 99%", f"{en}, 99 %")),
    )


PARTS = (
    Part(
        t("采集", "Coming in"),
        (
            Chart(
                t("每秒消息和读数", "Messages and readings per second"),
                "cps",
                (
                    Curve("sum(rate(courtyard_messages_received_total{…}[$__rate_interval]))", t("消息", "messages")),
                    Curve("sum(rate(courtyard_readings_decoded_total{…}[$__rate_interval]))", t("读数", "readings")),
                    Curve(
                        "sum(rate(courtyard_messages_redelivered_total{…}[$__rate_interval]))",
                        t("重复送达", "delivered again"),
                    ),
                ),
            ),
            Chart(
                t("无法解析的消息", "Messages that cannot be decoded"),
                "short",
                (Curve("sum by (code) (increase(courtyard_decode_errors_total{…}[5m])) > 0 or vector(0)", "{{code}}"),),
                t("每 5 分钟，按原因", "Per 5 minutes, by reason"),
            ),
            Chart(
                t("每批用时", "Time per batch"),
                "s",
                (
                    *_times("courtyard_decode_batch_seconds", "解析", "decoding"),
                    *_times("courtyard_journal_commit_seconds", "写日志缓存", "journal"),
                ),
            ),
            Chart(t("设备", "Devices"), "short", (Curve("sum by (presence) (courtyard_devices{…})", "{{presence}}"),)),
        ),
    ),
    Part(
        t("积压与交付", "What waits, and who takes it"),
        (
            Chart(
                t("最旧的等待", "Age of the oldest that waits"),
                "s",
                (
                    Curve(
                        "max by (journal, consumer) (courtyard_journal_backlog_age_seconds{…})",
                        "{{journal}} → {{consumer}}",
                    ),
                ),
            ),
            Chart(
                t("等待的字节", "Bytes that wait"),
                "bytes",
                (
                    Curve(
                        "sum by (journal, consumer) (courtyard_journal_backlog_bytes{…})", "{{journal}} → {{consumer}}"
                    ),
                ),
            ),
            Chart(
                t("日志缓存占上限", "Journal, of its cap"),
                "percentunit",
                (Curve("courtyard_journal_bytes{…} / courtyard_journal_max_bytes{…}", "{{instance}} {{journal}}"),),
            ),
            Chart(
                t("失败与丢弃", "Failures, and readings given up"),
                "short",
                (
                    Curve(
                        "sum by (consumer) (increase(courtyard_sink_failures_total{…}[5m]))",
                        t("交付失败 {{consumer}}", "failed: {{consumer}}"),
                    ),
                    Curve(
                        "sum by (consumer) (increase(courtyard_journal_shed_readings_total{…}[5m]))",
                        t("丢弃读数 {{consumer}}", "given up: {{consumer}}"),
                    ),
                    Curve("sum(increase(courtyard_telemetry_refused_total{…}[5m]))", t("时序库拒绝", "refused points")),
                ),
                t("每 5 分钟", "Per 5 minutes"),
            ),
        ),
    ),
    Part(
        t("判断", "Judging"),
        (
            Chart(
                t("规则与提交用时", "Rules, and commits"),
                "s",
                (
                    *_times("courtyard_rules_batch_seconds", "规则", "rules"),
                    *_times("courtyard_intake_batch_seconds", "整批", "whole batch"),
                ),
            ),
            Chart(
                t("每秒判断用时", "Judging each second"),
                "s",
                _times("courtyard_tick_seconds", "全部设备", "all devices"),
                t("必须小于 1 秒", "Must stay below one second"),
            ),
            Chart(
                t("未能判断", "Not judged"),
                "short",
                (
                    Curve("sum(increase(courtyard_intake_set_aside_total{…}[5m]))", t("搁置", "set aside")),
                    Curve(
                        "sum by (why) (increase(courtyard_intake_refused_total{…}[5m]))",
                        t("超限 {{why}}", "beyond bound: {{why}}"),
                    ),
                    Curve("sum(increase(courtyard_tick_failures_total{…}[5m]))", t("时间判断失败", "time not judged")),
                    Curve("sum(increase(courtyard_intake_gaps_total{…}[5m]))", t("缺口", "gaps")),
                ),
                t("每 5 分钟", "Per 5 minutes"),
            ),
            Chart(
                t("告警与工单", "Alarms and tickets"),
                "short",
                (
                    Curve(
                        "sum by (severity) (courtyard_alarms_active{…})", t("告警 {{severity}}", "alarms {{severity}}")
                    ),
                    Curve("sum(courtyard_tickets_open{…})", t("工单", "tickets")),
                    Curve("sum(courtyard_tickets_overdue{…})", t("逾期工单", "tickets overdue")),
                ),
            ),
            Chart(
                t("现在压住的告警", "Alarms held back now"),
                "short",
                (Curve("sum by (why) (courtyard_alarms_held_back{…})", "{{why}}"),),
                t("原因、维护、风暴、暂停", "By cause, maintenance, storm, snooze"),
            ),
            Chart(
                t("对告警的决定", "Decisions about alarms"),
                "short",
                (Curve("sum by (kind, why) (increase(courtyard_alarm_decisions_total{…}[5m]))", "{{kind}} {{why}}"),),
                t("每 5 分钟", "Per 5 minutes"),
            ),
        ),
    ),
    Part(
        t("通知与命令", "Notices and commands"),
        (
            Chart(
                t("等待的通知", "Notices that wait"),
                "short",
                (
                    Curve("sum by (channel) (courtyard_outbox_queued{…})", "{{channel}}"),
                    Curve(
                        "sum by (channel) (courtyard_outbox_failed{…})", t("{{channel}} 未送达", "{{channel}}: failed")
                    ),
                ),
            ),
            Chart(
                t("最旧的通知", "Age of the oldest notice"),
                "s",
                (Curve("max by (channel) (courtyard_outbox_oldest_seconds{…})", "{{channel}}"),),
            ),
            Chart(
                t("发送结果", "What comes of sending"),
                "short",
                (
                    Curve(
                        "sum by (channel, outcome) (increase(courtyard_notice_attempts_total{…}[5m]))",
                        "{{channel}} {{outcome}}",
                    ),
                ),
                t("每 5 分钟", "Per 5 minutes"),
            ),
            Chart(
                t("一小时内的命令", "Commands of the last hour"),
                "short",
                (Curve("sum by (state) (courtyard_commands_last_hour{…})", "{{state}}"),),
            ),
        ),
    ),
    Part(
        t("网关", "Gateways"),
        (
            Chart(t("静默", "Silence"), "s", (Curve("courtyard_gateway_silent_seconds{…}", "{{gateway}}"),)),
            Chart(t("晚到", "Behind"), "s", (Curve("courtyard_gateway_backlog_seconds{…}", "{{gateway}}"),)),
        ),
    ),
    Part(
        t("例行工作", "Chores"),
        (
            Chart(
                t("上次用时", "How long each last took"), "s", (Curve("courtyard_chore_last_seconds{…}", "{{chore}}"),)
            ),
            Chart(
                t("失败", "Failures"),
                "short",
                (
                    Curve("sum by (chore) (increase(courtyard_chore_failures_total{…}[1h]))", "{{chore}}"),
                    Curve(
                        "sum by (kind) (increase(courtyard_database_errors_total{…}[1h]))",
                        t("数据库 {{kind}}", "database: {{kind}}"),
                    ),
                    Curve("sum(increase(courtyard_ingest_failures_total{…}[1h]))", t("采集", "ingest")),
                    Curve("sum(increase(courtyard_outbox_failures_total{…}[1h]))", t("发送", "outbox")),
                    Curve("sum(increase(courtyard_catch_up_failures_total{…}[1h]))", t("全部重读", "read again")),
                    Curve("sum(increase(courtyard_http_failures_total{…}[1h]))", t("网页", "web")),
                    Curve(
                        "sum by (part) (increase(courtyard_scrape_failures_total{…}[1h]))",
                        t("指标 {{part}}", "figures: {{part}}"),
                    ),
                ),
                t("每小时", "Per hour"),
            ),
        ),
    ),
    Part(
        t("网页与接口", "Pages and API"),
        (
            Chart(
                t("每秒请求", "Requests per second"),
                "reqps",
                (Curve("sum by (status) (rate(courtyard_http_requests_total{…}[$__rate_interval]))", "{{status}}"),),
            ),
            Chart(t("应答用时", "Time to answer"), "s", _times("courtyard_http_request_seconds", "应答", "answer")),
            Chart(
                t("打开的页面", "Open pages"),
                "short",
                (
                    Curve("sum(courtyard_live_pages_open{…})", t("实时页面", "live pages")),
                    Curve("sum(courtyard_http_requests_in_progress{…})", t("处理中的请求", "requests under way")),
                ),
            ),
        ),
    ),
    Part(
        t("机器", "Machine"),
        (
            Chart(
                t("处理器", "CPU"),
                "percentunit",
                (Curve("rate(process_cpu_seconds_total{…}[$__rate_interval])", "{{instance}}"),),
            ),
            Chart(t("内存", "Memory"), "bytes", (Curve("process_resident_memory_bytes{…}", "{{instance}}"),)),
            Chart(t("磁盘剩余", "Disk, free"), "bytes", (Curve("courtyard_disk_free_bytes{…}", "{{instance}}"),)),
            Chart(
                t("数据库与时钟", "Database and clock"),
                "s",
                (
                    Curve(
                        "courtyard_database_read_seconds{…}", t("读指标 {{instance}}", "reading figures, {{instance}}")
                    ),
                    Curve(
                        "timestamp(courtyard_clock_seconds{…}) - courtyard_clock_seconds{…}",
                        t("时钟差 {{instance}}", "clock off, {{instance}}"),
                    ),
                ),
            ),
        ),
    ),
)


def build(language: str) -> Json:
    """The dashboard as plain data."""
    made = frame(title=t("Courtyard 自身", "Courtyard itself").in_(language), uid=NAME, tags=[NAME], language=language)
    with_address(made, language)
    source = boards.DatasourceVariable("metrics").type("prometheus").label(t("指标库", "Metrics").in_(language))
    made.with_variable(source).with_variable(_instances(language))
    for tile in TILES:
        made.with_panel(_tile(tile, language))
    for part in PARTS:
        made.with_row(boards.Row(part.title.in_(language)))
        for chart in part.charts:
            made.with_panel(_chart(chart, language, wide=chart is part.charts[-1] and len(part.charts) % 2 == 1))
        if part is _GATEWAYS:
            made.with_panel(_brokers(language))
    return finished(made)


def uid(language: str) -> str:
    return short(NAME, language)


_GATEWAYS = next(part for part in PARTS if part.title.en == "Gateways")


def _instances(language: str) -> boards.QueryVariable:
    return (
        boards.QueryVariable("instance")
        .label(t("进程", "Process").in_(language))
        .datasource(METRICS)
        .query("label_values(courtyard_build_info, instance)")
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.NATURAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(dashboard.VariableOption(text="All", value="$__all"))
    )


def _query(number: int, curve: Curve, language: str) -> prometheus.Dataquery:
    name = curve.name if isinstance(curve.name, str) else curve.name.in_(language)
    query = prometheus.Dataquery().ref_id(letter(number)).datasource(METRICS)
    return query.expr(curve.query.replace("{…}", f"{{{_HERE}}}")).legend_format(name or "__auto").range()


def _chart(chart: Chart, language: str, *, wide: bool) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(chart.title.in_(language))
        .description(chart.about.in_(language) if chart.about else "")
        .datasource(METRICS)
        .unit(chart.uom)
        .min(0)
        .height(8)
        .span(24 if wide else 12)
        .fill_opacity(0)
        .line_width(1)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .legend(legend())
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    )
    for number, curve in enumerate(chart.curves):
        panel.with_target(_query(number, curve, language))
    return panel


def _tile(tile: Tile, language: str) -> stat.Panel:
    panel = (
        stat.Panel()
        .title(tile.title.in_(language))
        .datasource(METRICS)
        .unit(tile.uom)
        .height(4)
        .span(6)
        .no_value("—")
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
        .thresholds(boards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(_marks(tile)))
        .with_target(_query(0, Curve(tile.query), language))
    )
    return panel if tile.words is None else panel.mappings([_words(tile.words, language)])


def _marks(tile: Tile) -> list[dashboard.Threshold]:
    marks = [dashboard.Threshold(value=None, color=GREEN)]
    for value, colour in ((tile.warn, ORANGE), (tile.bad, RED)):
        if value is not None:
            marks.append(dashboard.Threshold(value=value, color=colour))
    return marks


def _words(words: tuple[Text, Text], language: str) -> dashboard.ValueMap:
    looks = zip(("0", "1"), words, (RED, GREEN), strict=True)
    return dashboard.ValueMap(
        options={
            value: dashboard.ValueMappingResult(text=word.in_(language), color=colour, index=index)
            for index, (value, word, colour) in enumerate(looks)
        }
    )


def _brokers(language: str) -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .title(t("网关与 MQTT 服务器", "Gateways and their brokers").in_(language))
        .datasource(METRICS)
        .height(6)
        .span(24)
        .mappings([_words((t("断开", "cut"), t("已连接", "connected")), language)])
        .color_scheme(boards.FieldColor().mode(dashboard.FieldColorModeId.FIXED).fixed_color(GREY))
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .row_height(0.9)
        .legend(legend())
        .tooltip(VizTooltipOptions().mode(common.TooltipDisplayMode.SINGLE).sort(common.SortOrder.NONE))
        .with_target(_query(0, Curve("courtyard_gateway_broker_connected{…}", "{{gateway}}"), language))
    )
