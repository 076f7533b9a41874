"""A whole Courtyard under a real broker, scraped by a real Prometheus: what happens is what the figures say."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from ruamel.yaml import YAML

from dashboards import product
from gateway.ports import free_port
from gateway.reading import Batch
from gateway.uplink import UplinkUnavailable
from services import bootstrap
from services.bench.alarm import alarm_profile
from services.bench.mosquitto import Mosquitto, MosquittoMissing, find_mosquitto
from services.clock import SystemClock
from services.metrics.catalogue import ALL
from services.settings import Settings
from services.sites.importer import import_site
from tests.gateway.kit import Ledger, make_gateway, now_millis, publish, until
from tests.needs import missing
from tests.services.metrics.kit import Series, read, total, value

DEPLOY = Path(__file__).resolve().parents[3] / "deploy/prometheus"
NOT_HERE = {"courtyard_telemetry_points_written_total"}
"""Only where there is an InfluxDB."""


def site() -> dict[str, Any]:
    return {
        "site": "yard",
        "name": "Yard",
        "timezone": "Asia/Shanghai",
        "buildings": [{"id": "b1", "units": [{"id": "u1", "households": 1}]}],
        "devices": [{"id": f"d{n}", "profile": "bench"} for n in range(3)],
    }


@dataclass
class Product:
    core: bootstrap.Core
    broker: Mosquitto
    url: str

    def figures(self) -> Series:
        return read(httpx.get(self.url, trust_env=False, timeout=60).text)


@pytest.fixture(scope="module")
def courtyard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    try:
        find_mosquitto()
    except MosquittoMissing as absent:
        missing(str(absent))
    folder = tmp_path_factory.mktemp("product")
    for name, content in (("profiles/bench.yaml", alarm_profile()), ("site.yaml", site())):
        (folder / name).parent.mkdir(exist_ok=True)
        YAML().dump(content, folder / name)
    settings = Settings(
        data_dir=folder / "data",
        profiles_dir=folder / "profiles",
        http=f"127.0.0.1:{free_port()}",
        metrics=f"127.0.0.1:{free_port()}",
    )
    clock = SystemClock()
    with ExitStack() as stack:
        broker = stack.enter_context(Mosquitto(folder / "mosquitto"))
        core = bootstrap.start_core(stack, settings, clock)
        import_site(core.database, folder / "site.yaml", core.library, clock.now())
        core.intake.reload()
        gateway = bootstrap.start_gateway(stack, core, broker.url)
        bootstrap.start_clockwork(stack, core)
        bootstrap.start_outbox(stack, core)
        bootstrap.start_web(stack, core, gateway)
        until(lambda: gateway.status().connected)
        httpx.get(f"http://{settings.http}/api/v1/health", trust_env=False, timeout=60)
        yield Product(core, broker, f"http://{settings.metrics}/metrics")


def test_every_metric_of_the_page_is_exposed_and_nothing_else(courtyard: Product) -> None:
    until(lambda: total(courtyard.figures(), "courtyard_gateway_broker_connected") == 1)

    def shown() -> set[str]:
        names = {name for name, _ in courtyard.figures() if name.startswith("courtyard_")}
        return {re.sub(r"_seconds_(bucket|count|sum)$", "_seconds", name) for name in names}

    expected = {metric.name for metric in ALL} - NOT_HERE
    until(lambda: shown() >= expected)  # what is told of a chore comes with its first end
    assert shown() == expected


def test_what_devices_say_and_what_nobody_understands_is_counted(courtyard: Product) -> None:
    before = courtyard.figures()
    hot, bad = b'{"t1": 91.0}', b'{"t1": '
    publish(
        courtyard.broker.port, [("bench/d0/telemetry", hot), ("bench/d1/telemetry", bad), ("bench/d2/telemetry", bad)]
    )
    until(
        lambda: (
            total(courtyard.figures(), "courtyard_messages_received_total")
            - total(before, "courtyard_messages_received_total")
            == 3
        )
    )
    until(lambda: value(courtyard.figures(), "courtyard_intake_batch_seconds_count") > 0)
    # The gateway may have made two batches of them, and a look may fall between decoding and keeping.
    until(lambda: value(courtyard.figures(), "courtyard_quarantine_entries") == 2)
    until(lambda: is_settled(courtyard.figures()))
    after = courtyard.figures()
    assert value(after, "courtyard_decode_errors_total", code="malformed") == 2
    assert value(after, "courtyard_quarantine_entries") == 2
    assert value(after, "courtyard_readings_decoded_total") == 1
    assert value(after, "courtyard_intake_readings_total") == 1
    assert value(after, "courtyard_rules_batch_seconds_count") == 1
    until(lambda: value(courtyard.figures(), "courtyard_alarms_active", severity="critical") == 1)
    assert value(courtyard.figures(), "courtyard_tickets_open", priority="P1") == 1
    text = httpx.get(courtyard.url, trust_env=False, timeout=60).text
    for word in ("d0", "d1", "bench/", "yard"):
        assert f'"{word}' not in text


def is_settled(found: Series) -> bool:
    """Each batch that was decoded is in the journal."""
    names = ("courtyard_decode_batch_seconds_count", "courtyard_journal_commit_seconds_count")
    decoded, kept = (value(found, name) for name in names)
    return decoded == kept > 0


class Away(Ledger):
    """Services that cannot be reached, until they are back."""

    away = True

    def deliver(self, batch: Batch) -> int:
        if self.away:
            raise UplinkUnavailable("services cannot be reached")
        return super().deliver(batch)


def test_what_waits_grows_old_while_services_are_away_and_is_gone_when_they_are_back(
    tmp_path: Path, mosquitto: Mosquitto
) -> None:
    services = Away()
    gateway, telemetry = make_gateway(tmp_path, mosquitto.url, services)
    gateway.start()
    try:
        until(lambda: gateway.status().connected)
        publish(mosquitto.port, [(f"meters/m{n}/telemetry", b'{"n": 1}') for n in range(5)])
        until(lambda: gateway.figures().counters.received == 5)
        until(lambda: any(sink.failing for sink in gateway.figures().journal.sinks))
        # Five messages, and what begins each stretch in which the gateway listened.
        until(
            lambda: gateway.figures().journal.stats.entries_waiting["services"] >= 5 + len(gateway._journal.stretches)
        )
        journal = gateway.figures().journal
        assert journal.stats.entries_waiting["services"] == 5 + len(gateway._journal.stretches)
        oldest = journal.oldest_at["services"]
        assert oldest is not None and 0 <= now_millis() - oldest < 60_000
        assert journal.backlog_bytes["services"] == journal.stats.bytes
        sinks = {sink.consumer: sink for sink in journal.sinks}
        assert sinks["services"].failures >= 1
        assert not sinks["telemetry"].failing
        services.away = False
        until(lambda: gateway.figures().journal.stats.entries_waiting["services"] == 0)
        until(lambda: not any(sink.failing for sink in gateway.figures().journal.sinks))
        journal = gateway.figures().journal
        assert journal.oldest_at["services"] is None
        assert journal.backlog_bytes["services"] == 0
    finally:
        gateway.stop()
        telemetry.close()


# --- Prometheus -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prometheus(courtyard: Product, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The example's configuration with its rules, in a hurry: it has scraped several times when it is given out."""
    program = shutil.which("prometheus")
    if program is None:
        missing("prometheus is not installed; on Debian: apt-get install prometheus")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    text = (DEPLOY / "prometheus.yml").read_text()
    target = courtyard.url.removeprefix("http://").removesuffix("/metrics")
    text = text.replace("127.0.0.1:9465", target).replace("15s", "500ms", 2)
    (folder / "prometheus.yml").write_text(text)
    shutil.copy(DEPLOY / "alerts.yml", folder)
    server = subprocess.Popen(
        [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
         f"--web.listen-address=127.0.0.1:{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60) as client:
            until(lambda: scrapes(client) >= 4, 60, "Prometheus has not scraped")
            yield client
    finally:
        server.terminate()
        server.wait(60)


def scrapes(client: httpx.Client) -> int:
    try:
        found = client.get("/api/v1/query", params={"query": 'sum_over_time(up{job="courtyard"}[5m])'})
        result = found.json()["data"]["result"]
        return int(result[0]["value"][1]) if result else 0
    except (httpx.HTTPError, ValueError, KeyError):
        return 0


def test_prometheus_takes_what_is_exposed(prometheus: httpx.Client) -> None:
    def target() -> tuple[str, str]:
        (found,) = prometheus.get("/api/v1/targets").json()["data"]["activeTargets"]
        return found["health"], found["lastError"]

    # Half a second is all that the hurry leaves for one scrape: a busy machine may miss one, and none is refused.
    until(lambda: target() == ("up", ""), 60, "Prometheus does not take what is exposed")


def queries() -> list[tuple[str, str]]:
    found = []
    for panel in product.build("en")["panels"]:
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", ())]
    return found


@pytest.mark.parametrize(("panel", "query"), queries())
def test_every_query_of_the_dashboard_answers(prometheus: httpx.Client, panel: str, query: str) -> None:
    asked = query.replace("$instance", ".*").replace("$__rate_interval", "1m")
    answer = prometheus.get("/api/v1/query", params={"query": asked}).json()
    assert answer["status"] == "success", answer
    assert answer["data"]["result"], f"{panel}: {asked} is empty"


def test_rules_are_loaded_and_healthy_and_nothing_fires_that_should_not(prometheus: httpx.Client) -> None:
    def rules() -> list[dict[str, Any]]:
        (group,) = prometheus.get("/api/v1/rules").json()["data"]["groups"]
        return list(group["rules"])

    until(lambda: all(rule["health"] == "ok" for rule in rules()), 60, "a rule has not been judged, or fails")
    firing = {rule["name"] for rule in rules() if rule["state"] == "firing"}
    assert firing == set(), "a healthy Courtyard raises no alert"
