"""One way to turn a template and values into a page, in the reader's language."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from services.accounts.policy import Role
from services.sites.store import Site
from services.web import i18n
from services.web.i18n import Language, Translations
from services.web.pages import format as fmt
from services.web.pages import words
from services.web.security import Principal, get_context

LANGUAGE_COOKIE = "courtyard_language"
_HERE = Path(__file__).parent.parent
_YEAR = 365 * 24 * 3600


@dataclass(frozen=True)
class Reader:
    """Who reads the page: language, and now. `seen`: the changes that had happened before anything was read."""

    language: Language
    now: datetime
    seen: int
    principal: Principal | None = None

    @property
    def t(self) -> Translations:
        return translations()[self.language]


def reader_of(request: Request, principal: Principal | None = None) -> Reader:
    language = i18n.choose(
        asked=request.query_params.get("lang"),
        cookie=request.cookies.get(LANGUAGE_COOKIE),
        account=principal.language if principal else None,
        accepts=request.headers.get("accept-language"),
    )
    context = get_context(request)
    return Reader(language, context.clock.now(), context.changes.number, principal)


def render(request: Request, template: str, reader: Reader, /, status: int = 200, **values: Any) -> HTMLResponse:
    """A page or a fragment. `?lang=` is remembered in a cookie."""
    html = environment(reader.language).get_template(template).render(**_common(request, reader), **values)
    response = HTMLResponse(html, status_code=status)
    response.headers["Content-Language"] = reader.t.html_lang
    response.headers["Vary"] = "Accept-Language, Cookie"
    if i18n.known(request.query_params.get("lang")):
        response.set_cookie(LANGUAGE_COOKIE, reader.language, max_age=_YEAR, samesite="lax", path="/")
    return response


def _common(request: Request, reader: Reader) -> dict[str, Any]:
    principal = reader.principal
    return {
        "path": request.url.path,
        "now": reader.now,
        "seen": reader.seen,
        "principal": principal,
        "csrf": principal.csrf if principal else "",
        "is_engineer": principal is not None and principal.narrowed(Role.ENGINEER).scope != frozenset(),
        "other_language": "zh" if reader.language == "en" else "en",
        "other_language_url": f"{request.url.path}?{_with_language(request, reader.language)}",
        "utc": ZoneInfo("UTC"),
    }


def _with_language(request: Request, language: Language) -> str:
    kept = [(key, value) for key, value in request.query_params.multi_items() if key != "lang"]
    return urlencode([*kept, ("lang", "zh" if language == "en" else "en")])


@cache
def translations() -> dict[Language, Translations]:
    return i18n.load()


@cache
def environment(language: Language) -> Environment:
    """Templates of one language; a misspelt name is an error, never an empty string."""
    t = translations()[language]
    jinja = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    jinja.globals.update(
        _=t.gettext,
        ngettext=t.ngettext,
        language=language,
        html_lang=t.html_lang,
        static=static,
        words=words,
        age_words=json.dumps(fmt.age_words(t), ensure_ascii=False),
        age=lambda at, now: fmt.age(at, t, now=now),
        duration=lambda span: fmt.duration(span, t),
        moment=lambda at, zone, now: fmt.moment(at, zone, t.locale, now=now),
        stretch=lambda begin, end, zone, now: fmt.stretch(begin, end, zone, t.locale, now=now),
        minute=lambda at, zone, now: fmt.moment(at, zone, t.locale, now=now, today="%H:%M"),
        said=lambda text: text.in_(language),
        family_name=lambda key: t.gettext(words.family(key)),
    )
    jinja.filters.update(unit=fmt.with_unit, size=fmt.size, plain=fmt.plain, number=fmt.number, hexdump=fmt.hexdump)
    return jinja


@cache
def static(name: str) -> str:
    """The address of a file under static, changed whenever the file is."""
    digest = hashlib.sha256((_HERE / "static" / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def zone_of(timezone: str) -> ZoneInfo:
    return ZoneInfo(timezone)


def zones_of(sites: Iterable[Site]) -> dict[str, ZoneInfo]:
    """Lists over several sites show each time on its own site's clock."""
    return defaultdict(lambda: ZoneInfo("UTC"), {site.id: ZoneInfo(site.timezone) for site in sites})
