"""What pages make of values: pure functions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from device_profiles.library import SHIPPED, load
from device_profiles.schema import Text
from services.natural import natural
from services.outages.store import Outage
from services.sites.store import Building, Site, Unit
from services.web.i18n import Translations
from services.web.i18n import load as load_languages
from services.web.pages import format as fmt
from services.web.pages import words
from services.web.views.charts import charts_of, thresholds_of
from services.web.views.public import where
from services.web.views.rule_words import RuleWords

NOW = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
EN, ZH = Translations("en"), load_languages()["zh"]
LIBRARY = load(SHIPPED)


@pytest.mark.parametrize(
    ("seconds", "en", "zh"),
    [
        (0, "0 s ago", "0 秒前"),
        (59.9, "59 s ago", "59 秒前"),
        (60, "1 min ago", "1 分钟前"),
        (7200, "2 h ago", "2 小时前"),
        (172800, "2 d ago", "2 天前"),
        (-90, "in 2 min", "2 分钟后"),
    ],
)
def test_age(seconds: float, en: str, zh: str) -> None:
    at = NOW - timedelta(seconds=seconds)
    assert (fmt.age(at, EN, now=NOW), fmt.age(at, ZH, now=NOW)) == (en, zh)


def test_times_are_the_sites() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    assert fmt.moment(NOW, shanghai, "en", now=NOW) == "16:00:00"
    late = datetime(2026, 2, 28, 17, 30, tzinfo=UTC)  # already March in Shanghai
    assert fmt.moment(late, shanghai, "en", now=NOW) == "01:30:00"
    assert fmt.moment(late, ZoneInfo("UTC"), "zh_CN", now=NOW) == "2月28日 17:30"
    assert fmt.moment(NOW - timedelta(days=400), shanghai, "en", now=NOW) == "25 Jan 2025 16:00"


def test_numbers_keep_their_decimals_and_units() -> None:
    assert fmt.with_unit(fmt.number(1234.5, 2), "kWh") == "1,234.50\u00a0kWh"
    assert fmt.with_unit(fmt.number(-0.004, 2), "%") == "0.00%"
    assert fmt.number(-12.5, 1) == "\u221212.5"
    assert fmt.plain(None) == "–"


def test_bytes_are_shown_without_doing_harm() -> None:
    dump = fmt.hexdump(b"<b>\x00\xff" + bytes(range(20)))
    assert dump.splitlines()[0].startswith("0000  3c 62 3e 00 ff 00")
    assert dump.splitlines()[0].endswith("<b>·············")
    assert len(fmt.hexdump(bytes(100_000)).splitlines()) == 32


@pytest.mark.parametrize(
    ("presence", "worst", "key"),
    [
        ("online", None, "ok"),
        ("online", "warning", "warning"),
        ("offline", "warning", "offline"),
        ("offline", "critical", "critical"),
        ("stale", None, "stale"),
        ("gone", None, "unknown"),
    ],
)
def test_a_tile_says_the_worst_first(presence: str, worst: str | None, key: str) -> None:
    assert words.device_mark(words.presence(presence).key, worst).key == key


def test_thresholds_are_drawn_only_where_they_tell_the_whole_rule() -> None:
    charger = LIBRARY["ebike_charger_json"]
    lines = thresholds_of(charger, ["port_power"], {"max_port_power": 3500}, "en")
    assert [line.value for line in lines] == [3500.0]  # and not the 10 W that count only while the port is idle
    assert {line.value for line in thresholds_of(charger, ["supply_voltage"], {}, "en")} == {100.0, 198.0, 235.4, 270.0}


def test_charts_follow_the_profile_and_leave_nothing_out() -> None:
    pumps = LIBRARY["booster_set"]
    assert charts_of(pumps, "zone:1", "en")[0].metrics == pumps.dashboard.charts[0]
    assert {"outlet_pressure", "setpoint"} <= set(pumps.dashboard.charts[0])
    drawn = {name for chart in charts_of(pumps, "", "en") for name in chart.metrics}
    assert drawn == {name for name, metric in pumps.metrics.items() if metric.scope is None}


def test_names_sort_as_people_count() -> None:
    assert sorted(["Door 10", "Door 2", "Door 1-12", "Door 1-2"], key=natural) == [
        "Door 1-2",
        "Door 1-12",
        "Door 2",
        "Door 10",
    ]
    assert sorted(["port:10", "port:²", "port:2"], key=natural) == ["port:2", "port:10", "port:²"]


def test_residents_read_whether_their_stairwell_is_meant() -> None:
    def unit(id: str) -> Unit:
        return Unit(id=id, name=Text(zh=f"{id}单元", en=f"Stairwell {id}"), households=10)

    def building(id: str) -> Building:
        return Building(id=id, name=Text(zh=f"{id}号楼", en=f"Building {id}"), units=(unit("1"), unit("2")))

    text = Text(zh="院", en="Yard")
    site = Site(id="y", name=text, timezone="UTC", contact=text, buildings=(building("1"), building("2")))

    def said(buildings: tuple[str, ...], units: tuple[str, ...]) -> tuple[str, str]:
        outage = Outage(
            id="o", site="y", supply="s", supply_name=text, service="water", state="ongoing", loss="full", alarms=(),
            buildings=buildings, units=units, households=1, what=text, instead=text, started_at=NOW, restored_at=None,
            next_news_at=None, updates=(),
        )  # fmt: skip
        return where(outage, site, EN), where(outage, site, ZH)

    assert said(("1", "2"), ()) == ("The whole community", "整个小区")
    assert said(("1",), ()) == ("Building 1", "1号楼")
    assert said(("1", "2"), ("2/1",)) == ("Building 1, Building 2 Stairwell 1", "1号楼、2号楼 1单元")


def test_conditions_call_parts_and_presence_by_their_words() -> None:
    """Not `number(pump, …)` and `presence = offline`, in neither language."""
    profile = LIBRARY["booster_set"]
    whens = [rule.when for rule in profile.rules if rule.id in ("pumps_down", "offline")]
    said = [[RuleWords(profile, {"pumps": 2}, t).condition(when) for when in whens] for t in (EN, ZH)]
    assert said[0] == ["number of “Pump” (Running state = fault) ≥ 2", "presence = Offline"]
    assert said[1] == ["“水泵”的数量（运行状态 = 故障） ≥ 2", "在线状态 = 离线"]


def test_looks_back_and_stretches_of_time_are_said_in_words() -> None:
    """Not `changed: (Outlet pressure, 30m)`, and no `24h` in Chinese."""
    whens = {
        "not changed(outlet_pressure, 30m) and silence > 24h": (
            "Outlet pressure does not change within 30 min and time since it was last heard > 1 d",
            "出水压力在 30 分钟 内没有变化 且 距上次收到消息的时间 > 1 天",
        ),
        "abs(delta(outlet_pressure, 1h)) > 0.1 MPa or age(outlet_pressure) > 90s": (
            "size of (Outlet pressure, change over 1 h) > 0.1 MPa or time since Outlet pressure was reported > 90 s",
            "绝对值 (出水压力 1 小时 内变化) > 0.1 MPa 或 出水压力距上次上报的时间 > 90 秒",
        ),
        "count(outlet_pressure < 0.2 MPa and (silence < 5m), 2h) >= 3": (
            "how often within 2 h (Outlet pressure < 0.2 MPa and (time since it was last heard < 5 min)) ≥ 3",
            "2 小时内的次数（出水压力 < 0.2 MPa 且 (距上次收到消息的时间 < 5 分钟)） ≥ 3",
        ),
    }
    for when, said in whens.items():
        assert tuple(RuleWords(LIBRARY["booster_set"], {}, t).condition(when) for t in (EN, ZH)) == said


def test_a_stretch_names_its_days_unless_both_ends_are_today() -> None:
    zone, hour = ZoneInfo("Asia/Shanghai"), timedelta(hours=1)
    assert fmt.stretch(NOW - hour, NOW, zone, "en", now=NOW) == "15:00 – 16:00"
    assert fmt.stretch(NOW - 168 * hour, NOW, zone, "en", now=NOW) == "22 Feb 16:00 – 1 Mar 16:00"
