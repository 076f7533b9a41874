from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from services.notices.channels import Delivered, Message, Rejected, RetryLater
from services.notices.channels.addresses import Forbidden, Unresolved, destination, is_public
from services.notices.channels.webhook import Webhook, outcome_of
from tests.services.notices.sinks import HttpSink


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    channel = Webhook(allow_private=True)
    yield channel
    channel.close()


def message(target: str, **data: object) -> Message:
    return Message(key="alarm-1:raised:crew", target=target, title="Pump low 水泵", body="0.4 bar", data=data)


def test_the_sink_gets_data_title_body_and_the_key(sink: HttpSink, webhook: Webhook) -> None:
    assert webhook.send(message(sink.url("/a?b=c"), alarm="a1", severity="major")) == Delivered()
    (got,) = sink.received
    assert got.path == "/a?b=c"
    assert got.body == {"alarm": "a1", "severity": "major", "title": "Pump low 水泵", "body": "0.4 bar"}
    assert got.headers["Idempotency-Key"] == "alarm-1:raised:crew"
    assert got.headers["Host"] == f"127.0.0.1:{sink.port}"
    assert got.headers["Content-Type"] == "application/json"


def test_the_host_header_names_the_host_not_the_address(sink: HttpSink, webhook: Webhook) -> None:
    assert webhook.send(message(f"http://localhost:{sink.port}/hook")) == Delivered()
    assert sink.received[0].headers["Host"] == f"localhost:{sink.port}"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Delivered),
        (204, Delivered),
        (301, Rejected),
        (307, Rejected),
        (400, Rejected),
        (404, Rejected),
        (408, RetryLater),
        (410, Rejected),
        (425, RetryLater),
        (429, RetryLater),
        (500, RetryLater),
        (503, RetryLater),
    ],
)
def test_what_a_status_means(status: int, outcome: type) -> None:
    assert isinstance(outcome_of(status, None), outcome)


def test_the_time_the_other_side_names_is_kept_but_capped() -> None:
    assert outcome_of(429, "30") == RetryLater("answered 429", timedelta(seconds=30))
    assert outcome_of(503, "99999999999") == RetryLater("answered 503", timedelta(hours=1))
    assert outcome_of(503, "-5") == RetryLater("answered 503")
    assert outcome_of(503, "Fri, 31 Dec 1999 23:59:59 GMT") == RetryLater("answered 503")


def test_redirects_are_not_followed(sink: HttpSink, webhook: Webhook) -> None:
    sink.statuses["/hook"] = [302]
    sink.headers["Location"] = sink.url("/elsewhere")
    assert isinstance(webhook.send(message(sink.url())), Rejected)
    assert [one.path for one in sink.received] == ["/hook"]


def test_a_refused_connection_is_tried_again(webhook: Webhook) -> None:
    with HttpSink() as gone:
        url = gone.url()
    assert isinstance(webhook.send(message(url)), RetryLater)


def test_a_hanging_server_is_given_up(sink: HttpSink, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx

    monkeypatch.setattr("services.notices.channels.webhook._TIMEOUT", httpx.Timeout(60, read=0.2))
    sink.holds["/hook"] = threading.Event()
    assert webhook.send(message(sink.url())) == RetryLater("no answer in time")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "2130706433", "127.1"]
)
def test_loopback_is_refused_unless_allowed(sink: HttpSink, host: str) -> None:
    channel = Webhook(allow_private=False)
    outcome = channel.send(message(f"http://{host}:{sink.port}/hook"))
    channel.close()
    assert isinstance(outcome, Rejected)
    assert "COURTYARD_WEBHOOK_ALLOW_PRIVATE" in outcome.reason
    assert sink.received == []


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
    ],
)
def test_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "114.114.114.114", "2400:3200::1", "64:ff9b::808:808"])
def test_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("url", ["ftp://example.org/x", "file:///etc/passwd", "http://", "example.org", "http://x:y/z"])
def test_what_is_no_web_address(url: str, webhook: Webhook) -> None:
    with pytest.raises(Forbidden):
        destination(url)
    assert isinstance(webhook.send(message(url)), Rejected)


def test_an_unknown_name_is_tried_again(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # a real resolver asks the network, or waits for it
    with pytest.raises(Unresolved):
        destination("http://no-such-host.invalid/")
    assert isinstance(webhook.send(message("http://no-such-host.invalid/")), RetryLater)


def test_a_name_is_resolved_once(sink: HttpSink, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers with a public address first and a private one later must not get the second look."""
    real, asked = socket.getaddrinfo, []

    def noted(host: object, *args: object, **kwargs: object) -> object:
        asked.append(host)
        return real("127.0.0.1" if host == "hook.test" else host, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", noted)
    assert webhook.send(message(f"http://hook.test:{sink.port}/hook")) == Delivered()
    assert asked.count("hook.test") == 1
    assert sink.received[0].headers["Host"] == f"hook.test:{sink.port}"
