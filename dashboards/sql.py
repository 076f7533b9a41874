"""SELECTs over the product's own tables, as its migrations make them on PostgreSQL.

Sites are `${site:sqlstring}`, quoted by Grafana. `{language}` columns are name_zh or name_en. Names of columns are what
people read in the heads of tables, so they come in their language.
"""

from __future__ import annotations

from dashboards.words import SEVERITY

MINE = "IN (${site:sqlstring})"
_OPEN = "state NOT IN ('closed', 'cancelled')"


def sites(language: str) -> str:
    return f"SELECT name_{language} AS __text, id AS __value FROM sites ORDER BY 1"  # noqa: S608


# --- annotations ----------------------------------------------------------------------------------------------------


def alarm_regions(language: str) -> str:
    return (
        "SELECT a.raised_at AS time, coalesce(a.cleared_at, least(now(), $__timeTo()::timestamptz)) AS timeend, "  # noqa: S608
        f"coalesce(d.name_{language}, a.device) || ' ' || a.child || ' · ' || a.rule AS text, "
        "'alarm,' || a.severity AS tags "
        "FROM alarms a LEFT JOIN devices d ON d.id = a.device "
        f"WHERE a.site {MINE} AND a.suppressed_by IS NULL AND a.parent IS NULL "
        f"AND {_within('a.raised_at', 'a.cleared_at')} ORDER BY a.raised_at DESC LIMIT 500"
    )


def outage_regions(language: str) -> str:
    return (
        "SELECT started_at AS time, coalesce(restored_at, least(now(), $__timeTo()::timestamptz)) AS timeend, "  # noqa: S608
        f"what_{language} AS text, 'outage,' || service || ',' || loss AS tags "
        f"FROM outages WHERE site {MINE} AND {_within('started_at', 'restored_at')} ORDER BY started_at DESC LIMIT 200"
    )


def ticket_regions(language: str) -> str:
    return (
        "SELECT opened_at AS time, coalesce(closed_at, least(now(), $__timeTo()::timestamptz)) AS timeend, "  # noqa: S608
        f"'#' || number || ' ' || title_{language} AS text, 'ticket,' || priority AS tags "
        f"FROM tickets WHERE site {MINE} AND {_within('opened_at', 'closed_at')} ORDER BY opened_at DESC LIMIT 300"
    )


def _within(begin: str, end: str) -> str:
    return f"{begin} <= $__timeTo() AND coalesce({end}, now()) >= $__timeFrom()"


# --- now --------------------------------------------------------------------------------------------------------------


def alarms_by_severity(words: dict[str, str], *, where: str = f"site {MINE}") -> str:
    counts = ", ".join(f"count(*) FILTER (WHERE severity = '{one}') AS \"{words[one]}\"" for one in SEVERITY)
    return f"SELECT {counts} FROM alarms WHERE state = 'active' AND {where}"  # noqa: S608


def devices_by_presence(words: dict[str, str], *, where: str = f"d.site {MINE}") -> str:
    counts = ", ".join(
        f"count(*) FILTER (WHERE coalesce(s.presence, 'unknown') = '{one}') AS \"{text}\""
        for one, text in words.items()
    )
    return f"SELECT {counts} FROM {_DEVICES} AND {where}"  # noqa: S608


_DEVICES = "devices d LEFT JOIN device_states s ON s.device = d.id AND s.child = '' WHERE d.retired_at IS NULL"


def work_now(words: dict[str, str], *, where: str = f"site {MINE}") -> str:
    """Tickets that are open, overdue, of nobody; services that residents miss; households that miss one."""
    return (
        f'SELECT (SELECT count(*) FROM tickets WHERE {_OPEN} AND {where}) AS "{words["open"]}", '  # noqa: S608
        f'(SELECT count(*) FROM tickets WHERE {_OPEN} AND due_at < now() AND {where}) AS "{words["overdue"]}", '
        f"(SELECT count(*) FROM tickets WHERE {_OPEN} AND due_at BETWEEN now() AND now() + interval '24 hours' "
        f'AND {where}) AS "{words["due"]}", '
        f'(SELECT count(*) FROM tickets WHERE {_OPEN} AND assignee IS NULL AND {where}) AS "{words["nobody"]}", '
        f"(SELECT count(*) FROM outages WHERE state = 'ongoing' AND {where}) AS \"{words['outages']}\", "
        "(SELECT coalesce(sum((impact->>'households')::int), 0) FROM outages "
        f"WHERE state = 'ongoing' AND {where}) AS \"{words['households']}\""
    )


def wrong_now(language: str, heads: dict[str, str], *, where: str = f"a.site {MINE}", limit: int = 100) -> str:
    """Active alarms, worst and newest first, a storm in one line; `id`, `device_id` and `ticket_id` are for links."""
    return (
        f'SELECT a.severity AS "{heads["severity"]}", coalesce(d.name_{language}, a.device) AS "{heads["device"]}", '  # noqa: S608
        f'a.child AS "{heads["child"]}", a.profile || \'/\' || a.rule AS "{heads["what"]}", '
        f"coalesce(b.name_{language}, d.place_{language}, '') AS \"{heads['where']}\", "
        f'st.name_{language} AS "{heads["site"]}", a.raised_at AS "{heads["since"]}", '
        f'(a.acknowledged_at IS NOT NULL)::text AS "{heads["acknowledged"]}", '
        f"'#' || t.number AS \"{heads['ticket']}\", t.id AS ticket_id, a.id AS id, a.device AS device_id "
        "FROM alarms a LEFT JOIN devices d ON d.id = a.device LEFT JOIN sites st ON st.id = a.site "
        "LEFT JOIN buildings b ON b.site = d.site AND b.id = d.building LEFT JOIN tickets t ON t.alarm = a.id "
        f"WHERE a.state = 'active' AND a.parent IS NULL AND {where} "
        f"ORDER BY {_RANK}, a.raised_at DESC LIMIT {limit}"
    )


_RANK = "array_position(ARRAY['critical', 'major', 'minor', 'warning'], a.severity::text)"


def missing_now(language: str, heads: dict[str, str], *, where: str = f"o.site {MINE}") -> str:
    """Services that residents lack."""
    return (
        f'SELECT o.service AS "{heads["service"]}", o.loss AS "{heads["loss"]}", '  # noqa: S608
        f'st.name_{language} AS "{heads["site"]}", '
        f'o.what_{language} AS "{heads["what"]}", (o.impact->>\'households\')::int AS "{heads["households"]}", '
        f'o.started_at AS "{heads["since"]}", o.next_news_at AS "{heads["news"]}" '
        "FROM outages o LEFT JOIN sites st ON st.id = o.site "
        f"WHERE o.state = 'ongoing' AND {where} ORDER BY o.started_at DESC LIMIT 50"
    )


def devices_now(language: str, heads: dict[str, str]) -> str:
    """Every device of the chosen sites, what is wrong first."""
    return (
        f'SELECT coalesce(s.presence, \'unknown\') AS "{heads["presence"]}", d.name_{language} AS "{heads["device"]}", '  # noqa: S608
        f'd.profile AS "{heads["kind"]}", coalesce(b.name_{language}, d.place_{language}) AS "{heads["where"]}", '
        f'a.severity AS "{heads["severity"]}", s.last_heard_at AS "{heads["heard"]}", s.since AS "{heads["since"]}", '
        "d.id AS device_id FROM devices d "
        "LEFT JOIN device_states s ON s.device = d.id AND s.child = '' "
        "LEFT JOIN buildings b ON b.site = d.site AND b.id = d.building "
        "LEFT JOIN LATERAL (SELECT severity FROM alarms a WHERE a.device = d.id AND a.state = 'active' "
        f"ORDER BY {_RANK} LIMIT 1) a ON true "
        f"WHERE d.retired_at IS NULL AND d.site {MINE} "
        f"ORDER BY (a.severity IS NULL), {_RANK}, (coalesce(s.presence, 'unknown') = 'online'), 2 LIMIT 1000"
    )


def buildings_now(language: str, heads: dict[str, str]) -> str:
    """Each building: its devices, what is wrong there, and what its residents miss."""
    return (
        f'SELECT b.name_{language} AS "{heads["building"]}", '  # noqa: S608
        f'(SELECT count(*) FROM {_DEVICES} AND {_HERE}) AS "{heads["devices"]}", '
        f"(SELECT count(*) FROM {_DEVICES} AND {_HERE} AND coalesce(s.presence, 'unknown') <> 'online') "
        f'AS "{heads["away"]}", '
        "(SELECT count(*) FROM alarms a JOIN devices d ON d.id = a.device "
        f"WHERE a.state = 'active' AND {_HERE}) AS \"{heads['alarms']}\", "
        "(SELECT count(*) FROM outages o WHERE o.site = b.site AND o.state = 'ongoing' "
        f"AND EXISTS (SELECT 1 FROM json_array_elements_text(o.impact->'buildings') one WHERE one = b.id)) "
        f'AS "{heads["outages"]}", '
        "(SELECT coalesce(sum(u.households), 0) FROM units u WHERE u.site = b.site AND u.building = b.id) "
        f'AS "{heads["households"]}" FROM buildings b WHERE b.site {MINE} ORDER BY b.site, b.position, b.id'
    )


_HERE = "d.site = b.site AND d.building = b.id"


def sites_now(language: str, heads: dict[str, str]) -> str:
    """Each site in one line, the worst first. Counted once per table and joined: a district has many sites."""
    away = "count(*) FILTER (WHERE coalesce(s.presence, 'unknown') = '{}')"
    return (
        f"WITH d AS (SELECT d.site, count(*) AS devices, {away.format('offline')} AS offline, "  # noqa: S608
        f"{away.format('stale')} AS stale, {away.format('unknown')} AS unknown FROM {_DEVICES} GROUP BY d.site), "
        "a AS (SELECT site, count(*) AS alarms, count(*) FILTER (WHERE severity = 'critical') AS critical "
        "FROM alarms WHERE state = 'active' GROUP BY site), "
        "t AS (SELECT site, count(*) AS tickets, count(*) FILTER (WHERE due_at < now()) AS overdue "
        f"FROM tickets WHERE {_OPEN} GROUP BY site), "
        "o AS (SELECT site, count(*) AS outages FROM outages WHERE state = 'ongoing' GROUP BY site) "
        f'SELECT st.name_{language} AS "{heads["site"]}", coalesce(a.critical, 0) AS "{heads["critical"]}", '
        f'coalesce(a.alarms, 0) AS "{heads["alarms"]}", coalesce(o.outages, 0) AS "{heads["outages"]}", '
        f'coalesce(t.tickets, 0) AS "{heads["tickets"]}", coalesce(t.overdue, 0) AS "{heads["overdue"]}", '
        f'coalesce(d.devices, 0) AS "{heads["devices"]}", coalesce(d.offline, 0) AS "{heads["offline"]}", '
        f'coalesce(d.stale, 0) AS "{heads["stale"]}", coalesce(d.unknown, 0) AS "{heads["unknown"]}", st.id AS site_id '
        "FROM sites st LEFT JOIN d ON d.site = st.id LEFT JOIN a ON a.site = st.id LEFT JOIN t ON t.site = st.id "
        "LEFT JOIN o ON o.site = st.id ORDER BY 2 DESC, 4 DESC, 3 DESC, 1"
    )


# --- over time --------------------------------------------------------------------------------------------------------


def raised_over_time(words: dict[str, str], *, where: str) -> str:
    """Alarms raised per stretch, one column per severity."""
    counts = ", ".join(f"count(*) FILTER (WHERE severity = '{one}') AS \"{text}\"" for one, text in words.items())
    return (
        f"SELECT $__timeGroupAlias(raised_at, $__interval), {counts} FROM alarms "  # noqa: S608
        f"WHERE $__timeFilter(raised_at) AND {where} GROUP BY 1 ORDER BY 1"
    )


def tickets_over_time(words: dict[str, str], *, where: str = f"site {MINE}") -> str:
    """Tickets opened and closed per stretch."""
    one = "SELECT $__timeGroup({column}, $__interval) AS time, {opened} AS opened, {closed} AS closed FROM tickets "
    opened = one.format(column="opened_at", opened=1, closed=0) + f"WHERE $__timeFilter(opened_at) AND {where}"
    closed = one.format(column="closed_at", opened=0, closed=1) + f"WHERE $__timeFilter(closed_at) AND {where}"
    return (
        f'SELECT time, sum(opened) AS "{words["opened"]}", sum(closed) AS "{words["closed"]}" '  # noqa: S608
        f"FROM ({opened} UNION ALL {closed}) moved GROUP BY 1 ORDER BY 1"
    )


def service_kept(words: dict[str, str]) -> str:
    """Of the tickets closed in the range: how many, how many in time, and how long the middle one took."""
    in_time = "count(*) FILTER (WHERE due_at IS NULL OR closed_at <= due_at)"
    return (
        f'SELECT count(*) AS "{words["closed"]}", {in_time} * 100.0 / nullif(count(*), 0) AS "{words["in_time"]}", '  # noqa: S608
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - opened_at)) "
        f'AS "{words["median"]}", '
        "percentile_cont(0.9) WITHIN GROUP (ORDER BY extract(epoch FROM closed_at - opened_at)) "
        f"AS \"{words['slow']}\" FROM tickets WHERE $__timeFilter(closed_at) AND state = 'closed' AND site {MINE}"
    )


def tickets_due(language: str, heads: dict[str, str]) -> str:
    """Open tickets, those due first first. Assignees are called what they sign in with: Grafana's role may not read the
    table of people."""
    return (
        f'SELECT \'#\' || t.number AS "{heads["ticket"]}", t.priority AS "{heads["priority"]}", '  # noqa: S608
        f't.title_{language} AS "{heads["what"]}", st.name_{language} AS "{heads["site"]}", '
        f'coalesce(d.name_{language}, t.device) AS "{heads["device"]}", t.trade AS "{heads["trade"]}", '
        f't.state AS "{heads["state"]}", t.assignee AS "{heads["assignee"]}", '
        f't.opened_at AS "{heads["opened"]}", extract(epoch FROM t.due_at - now()) AS "{heads["left"]}", t.id AS id '
        "FROM tickets t LEFT JOIN sites st ON st.id = t.site LEFT JOIN devices d ON d.id = t.device "
        f"WHERE t.{_OPEN} AND t.site {MINE} "
        "ORDER BY t.due_at NULLS LAST, t.number LIMIT 500"
    )


def tickets_by(column: str, head: str, heads: dict[str, str], *, join: str = "", shown: str = "") -> str:
    """Tickets of the range by one column: how many were opened, are open, overdue, and the middle time to close."""
    return (
        f'SELECT {shown or f"t.{column}"} AS "{head}", '  # noqa: S608
        f'count(*) FILTER (WHERE $__timeFilter(t.opened_at)) AS "{heads["opened"]}", '
        f'count(*) FILTER (WHERE t.{_OPEN}) AS "{heads["open"]}", '
        f'count(*) FILTER (WHERE t.{_OPEN} AND t.due_at < now()) AS "{heads["overdue"]}", '
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.closed_at - t.opened_at)) "
        f'FILTER (WHERE $__timeFilter(t.closed_at)) AS "{heads["median"]}" '
        f"FROM tickets t {join} WHERE t.site {MINE} AND (t.{_OPEN} OR $__timeFilter(t.opened_at) "
        "OR $__timeFilter(t.closed_at)) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20"
    )


# --- gateways ---------------------------------------------------------------------------------------------------------


def gateways(heads: dict[str, str]) -> str:
    """What each gateway last said of itself; of all sites, a gateway may serve several."""
    said = {
        "connected": "coalesce(status->>'connected', 'false')",
        "rate": "(status->>'messages_per_second')::float",
        "waiting": "(status->>'journal_entries')::float",
        "bytes": "(status->>'journal_bytes')::float",
        "full": "100.0 * (status->>'journal_bytes')::float / nullif((status->>'journal_max_bytes')::float, 0)",
        "quarantine": "(status->>'quarantine_entries')::float",
        "shed": "(status->>'shed')::float",
        "error": "status->>'last_error'",
    }
    shown = ", ".join(f'{what} AS "{heads[name]}"' for name, what in said.items())
    return (
        f'SELECT id AS "{heads["gateway"]}", extract(epoch FROM now() - heard_at) AS "{heads["silent"]}", '  # noqa: S608
        f'extract(epoch FROM heard_at - progress_at) AS "{heads["behind"]}", {shown} FROM gateways ORDER BY 2 DESC, 1'
    )


def devices_by_gateway(heads: dict[str, str], words: dict[str, str]) -> str:
    counts = ", ".join(f"count(*) FILTER (WHERE presence = '{one}') AS \"{text}\"" for one, text in words.items())
    return (
        f'SELECT gateway AS "{heads["gateway"]}", {counts} FROM device_states '  # noqa: S608
        "WHERE child = '' AND gateway IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
