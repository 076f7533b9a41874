"""Every query of every dashboard, asked of a real InfluxDB that holds what the profiles' devices say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from dashboards.build import build, is_drawn
from device_profiles import library
from device_profiles.schema import DeviceProfile
from tests.fixtures_influxdb import influxdb, installed
from tests.needs import missing

pytestmark = pytest.mark.influxdb
PROFILES = {id_: profile for id_, profile in library.load(library.SHIPPED).items() if is_drawn(profile)}
AT = 1_780_000_000
NAMES = {"site": "(yard|other)", "device": ".*"}
"""What Grafana puts in for two chosen sites, and for All."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    if not installed():
        missing("influxd is not installed; on Debian: apt-get install influxdb")
    with influxdb(tmp_path_factory.mktemp("influxdb")) as client:
        lines = [line for profile in PROFILES.values() for line in points(profile)]
        stored = client.post("/write", params={"db": "telemetry", "precision": "s"}, content="\n".join(lines))
        assert stored.status_code == 204, stored.text
        yield client


def points(profile: DeviceProfile) -> Iterator[str]:
    """Two readings of every metric and state, a minute apart, in the tags that the telemetry store writes."""
    for scope in (None, *profile.children):
        fields = [f"{name}=1.5" for name, metric in profile.metrics.items() if metric.scope == scope]
        fields += [
            f'{name}="{next(iter(state.values))}"' for name, state in profile.states.items() if state.scope == scope
        ]
        child = f",child={scope}:1" if scope else ""
        for at in (AT, AT + 60) if fields else ():
            yield f"{profile.family},site=yard,building=1,device={profile.id}-1{child} {','.join(fields)} {at}"


def ask(server: httpx.Client, query: str) -> list[dict[str, Any]]:
    answer = server.get("/query", params={"db": "telemetry", "q": filled(query), "epoch": "s"})
    assert answer.status_code == 200, answer.text
    (result,) = json.loads(answer.text)["results"]
    assert "error" not in result, f"{result['error']}: {query}"
    return list(result.get("series", []))


def filled(query: str) -> str:
    query = query.replace("$timeFilter", f"time >= {AT - 600}s AND time <= {AT + 600}s").replace("$__interval", "30s")
    return re.sub(r"\$(site|device)\b", lambda found: NAMES[found[1]], query)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_panel_shows_what_its_devices_say(server: httpx.Client, name: str) -> None:
    profile = PROFILES[name]
    asked = 0
    for panel in build(profile, "en")["panels"]:
        for target in panel.get("targets", ()):
            series = [one for one in ask(server, target["query"]) if one["tags"]["device"] == f"{name}-1"]
            assert len(series) == 1, f"{panel['title']}: {target['query']}"
            assert len([value for _, value in series[0]["values"] if value is not None]) == 2
            assert has_child(series[0]["tags"]) == ("$tag_child" in target["alias"])
            asked += 1
    assert asked == len(profile.metrics) + len(profile.states)


def has_child(tags: Mapping[str, str]) -> bool:
    return bool(tags.get("child"))


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_the_variables_offer_the_sites_and_devices(server: httpx.Client, name: str) -> None:
    variables = {one["name"]: one for one in build(PROFILES[name], "en")["templating"]["list"]}
    (sites,) = ask(server, variables["site"]["query"])
    assert [value for _, value in sites["values"]] == ["yard"]
    (devices,) = ask(server, variables["device"]["query"])
    assert f"{name}-1" in [value for _, value in devices["values"]]
