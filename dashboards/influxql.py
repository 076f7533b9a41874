"""InfluxQL queries of panels and variables: the one language that InfluxDB 1, 2 and 3 all answer.

Names are those of device_profiles.telemetry. `$resolution` is the level: autogen (as measured), 5m or 1h. Family, field
and level are identifiers by the profiles' schema: nothing in them needs quoting.
"""

from __future__ import annotations

from device_profiles.telemetry import COUNT, DELAY, QUALITY, RAW

CHOSEN = '"site" =~ /^${site:regex}$/ AND "device" =~ /^${device:regex}$/'
AT_SITE = '"site" =~ /^${site:regex}$/'
EVERYTHING = "/.*/"
"""All measurements."""
ITS_MEASUREMENT = "$0"
"""In an alias: which one a series is of. Grafana takes `$m` from what was chosen in its own editor: of a query that is
written out that is nothing, and all series have one name. `$0` is the name that came with the series, to its first dot.
"""


def gauge(family: str, field: str, scope: str | None, *, where: str = CHOSEN, fill: str = "none") -> str:
    """The mean over time, and of devices themselves, at summed-up levels, the lowest and the highest beside it.

    A regular expression that fits no field gives no column: as measured there is only the mean.
    """
    what = f'mean("{field}") AS "mean"'
    if scope is None:  # hundreds of ports with three lines each show nothing, and take InfluxDB 1.6 two seconds a month
        what += f', min(/^{field}_min$/) AS "lowest", max(/^{field}_max$/) AS "highest"'
    return _over_time(what, family, where, scope, fill)


def last(family: str, field: str, scope: str | None, *, where: str = CHOSEN, fill: str = "none") -> str:
    """Counters and states: the last value of each stretch."""
    return _over_time(f'last("{field}")', family, where, scope, fill)


def of_family(family: str, field: str, *, is_gauge: bool) -> str:
    """The same for every profile of a family, whether the device or a child of it has the field."""
    if is_gauge:
        return gauge(family, field, "", where=CHOSEN)
    return last(family, field, "", where=CHOSEN)


def _over_time(what: str, family: str, where: str, scope: str | None, fill: str) -> str:
    # Only None keeps to the device itself; "" takes the device and all its children.
    group = '"device"' if scope is None else '"device", "child"'
    return (
        f'SELECT {what} FROM "$resolution"."{family}" '  # noqa: S608
        f"WHERE $timeFilter AND {' AND '.join([where, *_scope(scope)])} "
        f"GROUP BY time($__interval), {group} fill({fill})"
    )


def _scope(scope: str | None) -> list[str]:
    if scope == "":
        return []
    # A missing tag equals the empty string: the device's own values carry no child.
    return [f'"child" =~ /^{scope}:/' if scope else "\"child\" = ''"]


def key_values(fields: list[str]) -> str:
    """The headline gauges of whichever family `$family` is."""
    names = "|".join(fields)
    return (
        f'SELECT mean(/^({names})$/) FROM "$resolution"."$family" '  # noqa: S608
        f'WHERE $timeFilter AND {AT_SITE} GROUP BY time($__interval), "device", "child" fill(none)'
    )


def bad_readings(measurement: str, quality: str) -> str:
    """How many readings were of this quality."""
    return (
        f'SELECT count("{QUALITY}") FROM "{RAW.name}".{measurement} '  # noqa: S608
        f"WHERE $timeFilter AND {CHOSEN} AND \"{QUALITY}\" = '{quality}' GROUP BY time($__interval) fill(0)"
    )


def worst_devices(measurement: str) -> str:
    """The twenty devices with the most readings that are not good."""
    inner = (
        f'SELECT count("{QUALITY}") AS "readings" FROM "{RAW.name}".{measurement} '  # noqa: S608
        f'WHERE $timeFilter AND {CHOSEN} GROUP BY "device"'
    )
    return f'SELECT top("readings", "device", 20) AS "readings" FROM ({inner})'  # noqa: S608


def delay(measurement: str) -> str:
    """The longest way from the device to us, in seconds."""
    return (
        f'SELECT max("{DELAY}") FROM "{RAW.name}".{measurement} '  # noqa: S608
        f"WHERE $timeFilter AND {CHOSEN} GROUP BY time($__interval) fill(none)"
    )


def readings_per_minute(measurement: str) -> str:
    """From the numbers of readings that the summed-up levels keep; `$summed` is 5m or 1h, and a duration as well.

    The growth of their sum per minute is the same whatever the level.
    """
    return (
        f'SELECT derivative(cumulative_sum(sum("{COUNT}")), 1m) FROM "$summed".{measurement} '  # noqa: S608
        f"WHERE $timeFilter AND {CHOSEN} GROUP BY time($summed) fill(0)"
    )


def heard(measurement: str) -> str:
    """How many devices said something."""
    inner = (
        f'SELECT sum("{COUNT}") AS "n" FROM "$summed".{measurement} '  # noqa: S608
        f'WHERE $timeFilter AND {CHOSEN} GROUP BY "device"'
    )
    return f'SELECT count("n") AS "devices" FROM ({inner})'  # noqa: S608


def sites(family: str = "") -> str:
    of = f' FROM "{family}"' if family else ""
    return f'SHOW TAG VALUES{of} WITH KEY = "site"'


def devices(family: str) -> str:
    return f'SHOW TAG VALUES FROM "{family}" WITH KEY = "device" WHERE {AT_SITE}'


def families() -> str:
    return f"SHOW MEASUREMENTS WHERE {AT_SITE}"
