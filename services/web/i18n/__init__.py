"""The two languages of the pages. Messages are English in the code; zh_CN.po holds the Chinese."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from babel.messages.pofile import read_po

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = ("zh", "en")
_FOLDER = Path(__file__).parent


def N_(message: str) -> str:
    """Marks a message for the catalog where it is named; the page translates it when it is shown."""
    return message


@dataclass(frozen=True)
class Translations:
    """`_("…", name=value)` and `ngettext` of one language; a message without a translation stays English."""

    language: Language
    messages: dict[str, str | tuple[str, ...]] = field(default_factory=dict)

    def gettext(self, message: str, /, **values: object) -> str:
        found = self.messages.get(message) or message
        text = found if isinstance(found, str) else found[0]
        return text % values if values else text

    def ngettext(self, one: str, many: str, n: int, /, **values: object) -> str:
        found = self.messages.get(one)
        forms = found if isinstance(found, tuple) else (one, many)
        text = forms[0] if n == 1 else forms[-1]
        return text % {"n": n, **values}

    @property
    def locale(self) -> str:
        return "zh_CN" if self.language == "zh" else "en"

    @property
    def html_lang(self) -> str:
        return "zh-CN" if self.language == "zh" else "en"


def load() -> dict[Language, Translations]:
    """Both languages, read from the catalogs once at start."""
    return {"en": Translations("en"), "zh": Translations("zh", read_catalog(_FOLDER / "zh_CN.po"))}


def read_catalog(path: Path) -> dict[str, str | tuple[str, ...]]:
    """Message -> translation of a .po file; fuzzy and empty entries are left out."""
    with path.open("rb") as file:
        catalog = read_po(file, locale="zh_CN")
    found: dict[str, str | tuple[str, ...]] = {}
    for message in catalog:
        if not message.id or message.fuzzy:
            continue
        if isinstance(message.id, (tuple, list)):
            forms = tuple(message.string or ())
            if forms and all(forms):
                found[message.id[0]] = forms
        elif message.string:
            found[message.id] = str(message.string)
    return found


def known(language: str | None) -> Language | None:
    """`zh`, `zh-CN`, `zh_Hans_CN` … -> zh; `en…` -> en; anything else is not ours."""
    code = (language or "").strip().lower()
    if code.startswith("zh"):
        return "zh"
    return "en" if code.startswith("en") else None


def choose(*, asked: str | None, cookie: str | None, account: str | None, accepts: str | None) -> Language:
    """The first that names one of our languages: the address, the cookie, the account, the browser; else English."""
    for candidate in (asked, cookie, account, *_preferred(accepts or "")):
        if found := known(candidate):
            return found
    return "en"


def _preferred(header: str) -> list[str]:
    """An Accept-Language header's languages, most wanted first."""
    weighed = []
    for position, part in enumerate(header.split(",")[:20]):
        language, _, weight = part.partition(";q=")
        try:
            weighed.append((-float(weight or 1), position, language.strip()))
        except ValueError:
            continue  # a malformed weight: that one language is not asked for
    return [language for weight, _, language in sorted(weighed) if weight < 0]
