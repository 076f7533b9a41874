"""Who may read the figures, where, and what reading them costs others."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import httpx
import pytest

from gateway.ports import free_port
from services.metrics import Metrics
from services.metrics import listener as listening
from services.metrics.listener import Listener, MetricsAddressTaken
from services.metrics.process import of_process
from services.settings import Settings
from tests.services.metrics.kit import read, total, value
from tests.services.web.world import World


def test_the_pages_port_shows_them_to_engineers_of_every_site_and_nobody_else(world: World) -> None:
    answers = {who: world.client(who).get("/metrics").status_code for who in ("", *world.tokens)}
    assert {who for who, status in answers.items() if status == 200} == {"engineer@*", "admin@*"}
    assert answers[""] == 401
    assert set(answers.values()) == {200, 401, 403}


def test_requests_are_counted_by_route_and_never_by_what_they_name(world: World) -> None:
    client = world.client("engineer@*")
    client.get("/api/v1/devices/east-pump")
    client.get("/api/v1/devices/west-pump")
    client.get("/api/v1/devices/who-is-this")
    client.get("/devices/east-pump")
    client.get("/wp-login.php?secret=1")
    client.get("/static/favicon.svg")
    client.request("BREW", "/")
    text = client.get("/metrics").text
    series = read(text)
    count = "courtyard_http_requests_total"
    assert value(series, count, method="GET", route="/api/v1/devices/{device}", status="200") == 2
    assert value(series, count, method="GET", route="/api/v1/devices/{device}", status="404") == 1
    assert value(series, count, method="GET", route="other", status="404") == 1
    assert value(series, count, method="GET", route="/static", status="200") == 1
    assert total(series, "courtyard_http_request_seconds_count") == total(series, count)
    for word in ("east", "west", "pump", "who-is-this", "wp-login", "BREW", "secret"):
        assert word not in text


def test_a_page_that_listens_is_counted_while_it_is_open(world: World) -> None:
    from services.web.server import Server

    server = Server(world.app, "127.0.0.1", 0)
    server.start()
    try:
        headers = {"Authorization": f"Bearer {world.tokens['engineer@*']}"}
        with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
            with client.stream("GET", "/live") as answer:
                lines = answer.iter_lines()  # kept: without its reader the stream is closed
                assert next(lines) == "event: beat"
                assert value(read(client.get("/metrics").text), "courtyard_live_pages_open") == 1
            deadline = time.monotonic() + 60
            while value(read(client.get("/metrics").text), "courtyard_live_pages_open"):
                assert time.monotonic() < deadline, "the page is gone and still counted"
                time.sleep(0.05)
    finally:
        server.stop()


@pytest.fixture
def listener(tmp_path: object) -> Iterator[Listener]:
    from pathlib import Path

    from services.clock import SystemClock

    metrics = Metrics()
    metrics.watch("process", of_process(Path(str(tmp_path)), SystemClock()))
    made = Listener(metrics, "127.0.0.1", 0)
    made.start()
    yield made
    made.stop()


def get(url: str) -> httpx.Response:
    return httpx.get(url, trust_env=False, timeout=60)


def test_the_listener_shows_the_figures_and_nothing_else(listener: Listener) -> None:
    answer = get(listener.url)
    assert answer.headers["content-type"].startswith("text/plain; version=")
    series = read(answer.text)
    assert value(series, "courtyard_clock_seconds") == pytest.approx(time.time(), abs=30)
    assert total(series, "courtyard_build_info") == 1
    assert total(series, "process_resident_memory_bytes") > 0
    for path in ("/", "/metrics/", "/api/v1/health", "/metrics/../etc/passwd"):
        assert get(f"http://127.0.0.1:{listener.port}{path}").status_code == 404
    assert httpx.post(listener.url, trust_env=False, timeout=60).status_code == 501


def test_those_who_hang_at_the_listener_hold_up_nobody_for_long(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening._Handler, "timeout", 600)  # only who is served beside them is served in time
    monkeypatch.setattr(listening, "_WHOLE_SECONDS", 600.0)
    with ExitStack() as idle:
        for _ in range(4):
            idle.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
        assert get(listener.url).status_code == 200


def test_those_who_say_a_letter_now_and_then_give_their_places_back(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "_WHOLE_SECONDS", 0.6)
    with ExitStack() as held:
        slow = [held.enter_context(socket.create_connection(("127.0.0.1", listener.port))) for _ in range(8)]
        deadline = time.monotonic() + 60
        while True:
            assert time.monotonic() < deadline, "eight connections keep Prometheus out"
            for one in slow:
                with suppress(OSError):
                    one.send(b"G")
            try:
                assert get(listener.url).status_code == 200
                break
            except httpx.TransportError:
                time.sleep(0.1)


def test_a_reader_who_says_nonsense_of_itself_gets_the_plain_text(listener: Listener, world: World) -> None:
    nonsense = {"Accept": "application/openmetrics-text;version=x"}
    answer = httpx.get(listener.url, headers=nonsense, trust_env=False, timeout=60)
    assert answer.headers["content-type"].startswith("text/plain")
    assert world.client("engineer@*").get("/metrics", headers=nonsense).status_code == 200


def test_a_taken_address_is_said_with_the_setting(listener: Listener) -> None:
    with pytest.raises(MetricsAddressTaken, match="COURTYARD_METRICS=HOST:PORT"):
        Listener(Metrics(), "127.0.0.1", listener.port).start()


def test_a_stopped_listener_frees_its_port() -> None:
    port = free_port()
    for _ in range(2):
        made = Listener(Metrics(), "127.0.0.1", port)
        made.start()
        assert get(made.url).status_code == 200
        made.stop()


def test_the_setting_is_an_address_or_nothing() -> None:
    assert Settings(metrics="").metrics_address is None
    assert Settings(metrics="127.0.0.1:9465").metrics_address == ("127.0.0.1", 9465)
    assert Settings(metrics="[::1]:9465").metrics_address == ("::1", 9465)
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        Settings(metrics="9465")
