from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from services.notices.channels import Delivered, Message, Outcome, Rejected, RetryLater
from services.notices.channels.apprise import AppriseChannel, outcome_of
from tests.services.notices.sinks import HttpSink


@pytest.fixture
def sink() -> Iterator[HttpSink]:
    with HttpSink() as sink:
        yield sink


def send(target: str) -> Outcome:
    return AppriseChannel().send(Message(key="k", target=target, title="Pump low", body="0.4 bar"))


def test_json_reaches_a_real_server(sink: HttpSink) -> None:
    assert send(f"json://127.0.0.1:{sink.port}/hook") == Delivered()
    assert sink.received[0].body["title"] == "Pump low"


@pytest.mark.parametrize(("status", "kind"), [(404, Rejected), (429, RetryLater), (500, RetryLater)])
def test_a_refusal_is_told_apart_from_a_bad_moment(sink: HttpSink, status: int, kind: type) -> None:
    sink.statuses["/hook/"] = [status]
    sink.statuses["/hook"] = [status]
    assert isinstance(send(f"json://127.0.0.1:{sink.port}/hook"), kind)


def test_nobody_there_is_tried_again() -> None:
    with HttpSink() as gone:
        url = f"json://127.0.0.1:{gone.port}/hook"
    assert isinstance(send(url), RetryLater)


def test_what_is_no_apprise_url_is_rejected() -> None:
    assert isinstance(send("nonsense://x"), Rejected)


def test_a_200_with_an_error_in_its_body_is_no_delivery(sink: HttpSink) -> None:
    """ntfy and Bark can be pointed at a server of one's own, so their real plugins speak to the sink here."""
    sink.body = b'{"code": 40301, "http": 403, "error": "forbidden"}'
    refused = send(f"ntfy://127.0.0.1:{sink.port}/topic")
    assert isinstance(refused, Rejected)
    assert "40301" in refused.reason
    sink.body = b'{"id": "x", "event": "message"}'
    assert send(f"ntfy://127.0.0.1:{sink.port}/topic") == Delivered()
    sink.body = b'{"code": 400, "message": "device not found"}'
    assert isinstance(send(f"bark://127.0.0.1:{sink.port}/device"), Rejected)
    sink.body = b'{"code": 200, "message": "success"}'
    assert send(f"bark://127.0.0.1:{sink.port}/device") == Delivered()


@pytest.mark.parametrize(
    ("service", "body", "kind"),
    [
        ("wecombot", {"errcode": 0, "errmsg": "ok"}, Delivered),
        ("wecombot", {"errcode": 93000, "errmsg": "invalid webhook url"}, Rejected),
        ("wecombot", {"errcode": 45009, "errmsg": "api freq out of limit"}, RetryLater),
        ("wecombot", {"errcode": -1, "errmsg": "system busy"}, RetryLater),
        ("dingtalk", {"errcode": 310000, "errmsg": "keywords not in content"}, Rejected),
        ("dingtalk", {"errcode": 130101, "errmsg": "send too fast"}, RetryLater),
        ("feishu", {"StatusCode": 0, "StatusMessage": "success"}, Delivered),
        ("feishu", {"code": 19001, "msg": "param invalid"}, Rejected),
        ("lark", {"code": 9499, "msg": "too many requests"}, RetryLater),
        ("serverchan", {"code": 40001, "message": "bad key"}, Rejected),
        ("pushdeer", {"code": 80501, "error": "bad token"}, Rejected),
        ("slack", {"code": 7}, Delivered),
        ("wecombot", None, Delivered),
    ],
)
def test_what_services_say_in_the_body(service: str, body: Any, kind: type) -> None:
    outcome = outcome_of(service, [(200, body)], taken=True)
    assert isinstance(outcome, kind)
    if isinstance(outcome, RetryLater):
        assert outcome.after == timedelta(minutes=1)
