"""Both languages are whole: nothing untranslated, nothing translated for nobody."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_file
from jinja2.ext import babel_extract

import services.web
from device_profiles.library import SHIPPED, load
from services.web import i18n
from services.web.pages import words

WEB = Path(services.web.__file__).parent
KEYWORDS = {"_": None, "N_": None, "gettext": None, "ngettext": (1, 2)}
_PLACE = re.compile(r"%\(\w+\)s")


def messages() -> set[str]:
    """Every message id in the code and the templates."""
    sources = [("python", path) for path in WEB.rglob("*.py")]
    sources += [(babel_extract, path) for path in (WEB / "templates").glob("*.html")]
    found = set()
    for method, path in sources:
        for _, message, _, _ in extract_from_file(method, path, keywords=KEYWORDS):
            found.add(message if isinstance(message, str) else message[0])
    return found


def test_every_message_has_its_chinese() -> None:
    catalog = i18n.read_catalog(WEB / "i18n" / "zh_CN.po")
    assert not messages() - set(catalog)


def test_no_translation_is_left_over() -> None:
    catalog = i18n.read_catalog(WEB / "i18n" / "zh_CN.po")
    assert not set(catalog) - messages()


def test_a_translation_keeps_its_places() -> None:
    for message, translation in i18n.read_catalog(WEB / "i18n" / "zh_CN.po").items():
        forms = translation if isinstance(translation, tuple) else (translation,)
        for form in forms:
            assert set(_PLACE.findall(form)) == set(_PLACE.findall(message)), message


def test_every_shipped_family_has_a_name_of_its_own() -> None:
    families = {profile.family for profile in load(SHIPPED).values()}
    assert not families - set(words.FAMILIES)
    names = [str(name) for name in words.FAMILIES.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"accepts": "zh-CN,zh;q=0.9,en;q=0.8"}, "zh"),
        ({"accepts": "zh-Hans-CN, en"}, "zh"),
        ({"accepts": "zh_TW"}, "zh"),
        ({"accepts": "fr, en;q=0.1, zh;q=0.7"}, "zh"),
        ({"accepts": "de-DE"}, "en"),
        ({"accepts": "zh;q=0, en"}, "en"),
        ({"accepts": "zh;q=much"}, "en"),
        ({"accepts": "en", "account": "zh_CN"}, "zh"),
        ({"accepts": "en", "account": "zh", "cookie": "en"}, "en"),
        ({"accepts": "en", "cookie": "en", "asked": "zh"}, "zh"),
        ({"asked": "<script>"}, "en"),
        ({}, "en"),
    ],
)
def test_language_is_chosen(wanted: dict[str, str], expected: str) -> None:
    asked = {"asked": None, "cookie": None, "account": None, "accepts": None, **wanted}
    assert i18n.choose(**asked) == expected


def test_numbers_take_their_form() -> None:
    languages = i18n.load()
    assert languages["en"].ngettext("%(n)s alarm", "%(n)s alarms", 1) == "1 alarm"
    assert languages["en"].ngettext("%(n)s alarm", "%(n)s alarms", 3) == "3 alarms"
    assert languages["zh"].ngettext("%(n)s alarm", "%(n)s alarms", 3) == "3 条告警"
