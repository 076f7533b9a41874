"""Every reason for which a message is set aside is said in words, with what to do about it, in both languages."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import pytest

import gateway
from gateway.decode import DecodeError
from services.web import i18n
from services.web.pages.quarantine_words import REASONS, UNKNOWN, reason_of
from tests.web.conftest import Courtyard

_RAISED = re.compile(r"(?:DecodeError|Fault)\(\s*\"([a-z_]+)\"")


def test_every_code_has_its_words_and_no_other() -> None:
    sources = [file.read_text() for file in Path(gateway.__file__).parent.rglob("*.py")]
    raised = {code for text in sources for code in _RAISED.findall(text)}
    documented = set(re.findall(r"\b[a-z]+_?[a-z]+\b", (DecodeError.__doc__ or "").partition("quarantine:")[2]))
    assert raised <= set(REASONS) <= documented


def test_a_code_of_another_version_is_not_left_without_words() -> None:
    assert reason_of("made_up") is UNKNOWN


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_says_what_is_the_matter_and_what_to_do(standing: Courtyard, language: str) -> None:
    client = standing.client("chen.yu")
    entries = client.get("/api/v1/quarantine").json()["items"]
    page = unescape(client.get("/quarantine", params={"lang": language}).text)
    translated = i18n.load()["zh" if language == "zh" else "en"]
    assert entries
    for entry in entries:
        reason = REASONS[entry["code"]]
        assert translated.gettext(reason.what) in page
        assert translated.gettext(reason.next_step) in page
        assert entry["reason"].removeprefix(entry["code"]).lstrip(": ") in page, "found and expected stand there too"
        assert f"<strong>{entry['code']}" not in page
