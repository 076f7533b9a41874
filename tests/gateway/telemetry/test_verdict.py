"""Which answers of InfluxDB give up a line, and which give up nothing."""

from __future__ import annotations

import pytest

from gateway.telemetry.verdict import Kind, verdict, words_of


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (500, "engine: error writing WAL entry: write /wal/_00002.wal: no space left on device"),
        (500, "timeout"),
        (503, "service unavailable"),
        (429, "org 04f has exceeded limited_write plan limit"),
        (401, "unauthorized access"),
        (404, 'database not found: "telemetry"'),
        (400, "request body is not what this proxy expects"),
        (400, "invalid precision"),
        (302, ""),
    ],
)
def test_an_answer_that_is_not_about_lines_gives_up_none(status: int, words: str) -> None:
    assert verdict(status, words) is None


@pytest.mark.parametrize("status", [400, 422])
def test_a_field_in_conflict_is_named(status: int) -> None:
    """InfluxDB 1 answers 400, InfluxDB 2 wraps the same words into 422."""
    words = (
        'failure writing points to database: partial write: field type conflict: input field "flow" on measurement '
        '"water_pump" is type float, already exists as type string dropped=7'
    )
    said = verdict(status, words)
    assert said is not None
    assert (said.kind, said.measurement, said.field, said.dropped) == (Kind.CONFLICT, "water_pump", "flow", 7)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (413, "Request Entity Too Large", Kind.TOO_LARGE),
        (400, "partial write: points beyond retention policy dropped=3", Kind.TOO_OLD),
        (
            422,  # InfluxDB 2.9.1
            "failure writing points to database: partial write: dropped 3 points outside retention policy of duration "
            "720h0m0s - oldest point water_pump,device=pump-1 at 2001-09-09T01:46:40Z dropped because it violates a "
            "Retention Policy Lower Bound at 2026-10-23T07:00:00Z, newest point water_pump,device=pump-1 at "
            "2001-09-09T01:46:41Z dropped because it violates a Retention Policy Lower Bound at 2026-10-23T07:00:00Z "
            "dropped=3 for database: 7d1f0b8a2c9e4f10 for retention policy: autogen",
            Kind.TOO_OLD,
        ),
        (400, "unable to parse 'x y': invalid field format", Kind.BAD),
        (400, "partial write: max-series-per-database limit exceeded: (1000000) dropped=2", Kind.BAD),
        (400, "partial write: max key length exceeded: 70004 > 65535 dropped=1", Kind.BAD),
    ],
)
def test_an_answer_about_lines_says_what_is_wrong_with_them(status: int, words: str, kind: Kind) -> None:
    said = verdict(status, words)
    assert said is not None
    assert said.kind is kind


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"error":"database not found"}\n', "database not found"),
        ('{"code":"invalid","message":"unable to parse"}', "unable to parse"),
        ("<html>\nBad Gateway</html>", "<html>"),
        ("", ""),
    ],
)
def test_the_servers_words_are_found(body: str, words: str) -> None:
    assert words_of(body) == words
