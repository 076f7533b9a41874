"""The page "Try a profile": readings with units and words, mistakes with their line, a message of the quarantine."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Browser, expect
from sqlalchemy import select

from device_profiles.library import SHIPPED, Library
from services.authoring.examples import example_of, lines_of_binding
from services.authoring.tryout import LARGEST_YAML
from services.tables import devices
from tests.web.conftest import Courtyard
from tests.web.test_browser import DESKTOP, PHONE, browsing, chromium, too_wide, violations  # noqa: F401

SUMP = (SHIPPED / "sump_pump" / "json.yaml").read_text(encoding="utf-8")
TOPIC = "courtyard/yard/sumps/s1/telemetry"


def _try(client: TestClient, **fields: str) -> Any:
    return client.post("/profiles/try", data={"action": "try", "form": "text", "timezone": "UTC", **fields})


def _chosen(page: str) -> str:
    found = re.search(r'<option value="([^"]+)" selected', page)
    assert found
    return found[1]


def _sump_topic() -> str:
    topic = re.search(r"topic: (courtyard/\S+telemetry)", SUMP)
    assert topic
    return topic[1].replace("{site}", "yard").replace("{address}", "s1")


def test_a_message_becomes_a_table(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    page = _try(client, profile="sump_pump_json", topic=_sump_topic(), payload='{"level_pct": 41.5, "extra": 1}')
    assert page.status_code == 200
    assert "41.5 %" in page.text
    assert "sump_pump_json:s1" in page.text
    assert re.search(r"Not read: <span[^>]*>extra</span>", page.text)


def test_hex_and_base64_are_bytes_too(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    frame = "444e5910003b37ab0401002198080200000905ee02"
    for form, payload in (("hex", frame), ("hex", "44 4e 59 10 00 3b 37 ab 04 01 00 21 98 08 02 00 00 09 05 ee 02")):
        page = _try(client, profile="ebike_charger_ap3000", topic="ap3000/04AB373B/up", payload=payload, form=form)
        assert "220 V" in page.text
        assert "port:2" in page.text
    import base64

    as_base64 = base64.b64encode(bytes.fromhex(frame)).decode()
    page = _try(client, profile="ebike_charger_ap3000", topic="ap3000/04AB373B/up", payload=as_base64, form="base64")
    assert "220 V" in page.text
    page = _try(client, profile="ebike_charger_ap3000", topic="ap3000/04AB373B/up", payload="0g", form="hex")
    assert page.status_code == 422
    assert "expected pairs of hex digits" in page.text


def test_what_does_not_decode_says_found_and_expected(standing: Courtyard) -> None:
    page = _try(standing.client("chen.yu"), profile="sump_pump_json", topic="nowhere/s1", payload="{}")
    assert "Not decoded" in page.text
    assert "no_binding" in page.text
    assert "Hint" in page.text


def test_a_mistake_in_pasted_yaml_marks_its_line(standing: Courtyard) -> None:
    broken = SUMP.replace("family: sump_pump", "famly: sump_pump", 1)
    line = broken.splitlines().index("famly: sump_pump") + 1
    page = _try(standing.client("chen.yu"), yaml=broken)
    assert f"Line {line}" in page.text
    assert re.search(rf"<mark>\s*{line} ▶ famly: sump_pump</mark>", page.text)
    assert "did you mean family?" in page.text


def test_a_pasted_profile_is_proven_and_never_stored(standing: Courtyard) -> None:
    changed = SUMP.replace("profile: sump_pump_json", "profile: pasted_pump", 1)
    client = standing.client("chen.yu")
    page = _try(client, yaml=changed, action="prove")
    assert re.search(r"\d+ samples and \d+ rule tests tried, 0 failed", page.text)
    assert "pasted_pump" not in standing.context.library
    assert "pasted_pump" not in client.get("/profiles/try").text
    failing = changed.replace("expect: raised", "expect: quiet", 1)
    page = _try(client, yaml=failing, action="prove")
    assert "1 failed" in page.text
    assert "found raised, expected quiet" in page.text


def test_a_loaded_profile_can_be_copied(standing: Courtyard) -> None:
    page = _try(standing.client("chen.yu"), profile="sump_pump_json", action="copy")
    assert "profile: sump_pump_json" in page.text


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_page_opens_with_an_example_and_its_result(standing: Courtyard, language: str) -> None:
    """Of a profile that a device here has: what it makes of a message, and the lines of it that say so."""
    page = unescape(standing.client("chen.yu").get("/profiles/try", params={"lang": language}).text)
    profile = _chosen(page)
    with standing.context.database.read() as connection:
        assert profile in set(connection.scalars(select(devices.c.profile)))
    sample = example_of(standing.context.library[profile])
    assert sample is not None and sample.text is not None
    assert f'value="{sample.topic}"' in page and sample.text in page
    result = page.split('id="result"', 1)[1]
    assert f"{profile}:{sample.expect[0]['address']}" in result
    assert f"- id: {sample.expect[0]['binding']}\n" in result
    assert ("An example:" if language == "en" else "示例：") in result


def test_every_loaded_profile_shows_its_example(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    page = unescape(_try(client, profile="ebike_charger_ap3000", topic="old", payload="old", action="example").text)
    assert _chosen(page) == "ebike_charger_ap3000"
    assert 'value="old"' not in page
    assert "ebike_charger_ap3000:" in page.split('id="result"', 1)[1]
    page = client.get("/profiles/try", params={"profile": "sump_pump_json"}).text
    assert _chosen(page) == "sump_pump_json" and "sump_pump_json:" in page.split('id="result"', 1)[1]
    assert client.get("/profiles/try", params={"profile": "nobody's"}).status_code == 200


def test_the_lines_of_a_binding_are_found_in_every_shipped_profile(standing: Courtyard) -> None:
    library = standing.context.library
    assert isinstance(library, Library)
    for id, profile in library.items():
        text = library.file_of(id).read_text(encoding="utf-8")
        for binding in profile.bindings:
            lines = lines_of_binding(text, binding.id).splitlines()
            assert lines and binding.topic in "\n".join(lines), (id, binding.id)
            item = lines[0].partition("-")[0] + "-"
            assert sum(line.startswith(item) for line in lines) == 1, (id, binding.id)
    assert lines_of_binding("bindings:\n  - id: [", "t.*") == ""


def test_what_is_pasted_is_shown_as_text(standing: Courtyard) -> None:
    evil = "<script>alert(1)</script>"
    page = _try(standing.client("chen.yu"), profile="sump_pump_json", topic=evil, payload=evil, yaml="")
    assert "<script>alert" not in page.text
    page = _try(standing.client("chen.yu"), yaml=f"profile: {evil}\n")
    assert "<script>alert" not in page.text


def test_too_large_is_said(standing: Courtyard) -> None:
    page = _try(standing.client("chen.yu"), yaml="x" * (LARGEST_YAML + 1))
    assert page.status_code == 422
    assert str(LARGEST_YAML) in page.text


def test_a_message_of_the_quarantine_is_filled_in(standing: Courtyard) -> None:
    client = standing.client("chen.yu")
    page = client.get("/quarantine").text
    links = re.findall(r"/profiles/try\?quarantine=(\d+)", page)
    assert len(links) == 3
    filled = client.get("/profiles/try", params={"quarantine": links[-1]}).text
    assert 'value="somewhere/else"' in filled
    binary = next(text for one in links if "ff 00 3c" in (text := client.get(f"/profiles/try?quarantine={one}").text))
    assert re.search(r'value="hex" checked', binary)
    assert client.get("/profiles/try", params={"quarantine": 10**9}).status_code == 200


def test_only_engineers(standing: Courtyard) -> None:
    assert standing.client("li.wei").get("/profiles/try").status_code == 403
    assert standing.client().get("/profiles/try").status_code in (303, 401)


@pytest.mark.browser
@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_it_is_usable_on_a_phone_and_by_everybody(
    chromium: Browser,  # noqa: F811
    standing: Courtyard,
    served: str,
    language: str,
) -> None:
    broken = SUMP.replace("family: sump_pump", "famly: sump_pump", 1)
    for scheme in ("light", "dark"):
        options: dict[str, Any] = {"locale": language, "color_scheme": scheme, "viewport": PHONE}
        with browsing(chromium, served, standing, "chen.yu", **options) as page:
            page.goto("/profiles/try?profile=sump_pump_json")
            assert not violations(page, "light")
            page.locator("#topic").fill(_sump_topic())
            page.locator("#payload").fill('{"level_pct": 41.5, "level_pc": 3}')
            page.locator("button[value=try]").click()
            expect(page.locator("#result table")).to_contain_text("41.5 %")
            assert too_wide(page) == []
            assert not violations(page, "light")
            page.locator("details summary").click()
            page.locator("#yaml").fill(broken)
            page.locator("button[value=prove]").click()
            expect(page.locator("#result mark").last).to_contain_text("famly")
            assert too_wide(page) == []
            assert not violations(page, "light")
            page.set_viewport_size(DESKTOP)
            assert not violations(page, "light")
