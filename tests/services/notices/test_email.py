from __future__ import annotations

from collections.abc import Iterator

import pytest

from services.notices.channels import Delivered, Message, Rejected, RetryLater
from services.notices.channels.email import Email, Server, SmtpUrlMistake, compose, mailbox
from tests.services.notices.sinks import SmtpSink


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as sink:
        yield sink


def message(target: str = "li@homes.example", **changes: str) -> Message:
    said = {"key": "k1", "title": "2号楼停水 · Water", "body": "第一行\nsecond <b>line</b>", **changes}
    return Message(target=target, **said)  # type: ignore[arg-type]


def channel(sink: SmtpSink) -> Email:
    return Email(smtp_url=sink.url, sender="Courtyard <courtyard@homes.example>")


def test_mail_arrives_whole(sink: SmtpSink) -> None:
    assert channel(sink).send(message()) == Delivered()
    ((envelope, mail),) = sink.mails
    assert envelope.mail_from == "courtyard@homes.example"
    assert envelope.rcpt_tos == ["li@homes.example"]
    assert mail["subject"] == "2号楼停水 · Water"
    assert mail["auto-submitted"] == "auto-generated"
    assert mail.get_content_type() == "multipart/alternative"
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain and plain.get_content().splitlines() == ["第一行", "second <b>line</b>"]
    assert html and "second &lt;b&gt;line&lt;/b&gt;" in html.get_content()


def test_a_repetition_has_the_same_message_id(sink: SmtpSink) -> None:
    for key in ("k1", "k1", "k2"):
        channel(sink).send(message(key=key))
    ids = [mail["message-id"] for _, mail in sink.mails]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0].endswith("@homes.example>")


def test_refused_for_good_and_for_now(sink: SmtpSink) -> None:
    assert channel(sink).send(message("li@no.example")) == Rejected("the mail server said 550 no such mailbox")
    assert channel(sink).send(message("li@busy.example")) == RetryLater("the mail server said 450 try later")
    assert sink.mails == []


def test_no_server_is_somebodys_move() -> None:
    outcome = Email(smtp_url="", sender="a@b.example").send(message())
    assert isinstance(outcome, Rejected)
    assert "COURTYARD_SMTP_URL" in outcome.reason


def test_a_server_that_is_down_is_tried_again() -> None:
    with SmtpSink() as gone:
        url = gone.url
    assert isinstance(Email(smtp_url=url, sender="a@b.example").send(message()), RetryLater)


@pytest.mark.parametrize(
    "target",
    [
        "a@b.example\r\nBcc: all@homes.example",
        "a@b.example, c@d.example",
        "a@b.example;c@d.example",
        "A <a@b.example>",
        "a b@c.example",
        "nobody",
        "@b.example",
        "a@",
        "",
    ],
)
def test_only_one_plain_address_is_a_target(sink: SmtpSink, target: str) -> None:
    assert mailbox(target) is None
    assert isinstance(channel(sink).send(message(target)), Rejected)
    assert sink.mails == []


def test_a_title_cannot_add_headers() -> None:
    mail = compose(message(title="Low\r\nBcc: all@homes.example\nX: y\x00"), sender="a@b.example", to="c@d.example")
    assert mail["bcc"] is None
    assert mail["subject"] == "Low Bcc: all@homes.example X: y"


def test_a_password_is_not_sent_in_clear(sink: SmtpSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.notices.channels.email._is_loopback", lambda host: False)
    with_password = sink.url.replace("smtp://", "smtp://li:geheim@")
    outcome = Email(smtp_url=with_password, sender="a@b.example").send(message())
    assert isinstance(outcome, Rejected)
    assert "geheim" not in outcome.reason


def test_server_urls() -> None:
    assert Server.parse("smtp://mail.example") == Server("mail.example", 25, False, "", "")
    assert Server.parse("smtp://u%40x:p%3A1@mail.example") == Server("mail.example", 587, False, "u@x", "p:1")
    assert Server.parse("smtps://mail.example:1465").tls_first
    with pytest.raises(SmtpUrlMistake):
        Server.parse("http://mail.example")
