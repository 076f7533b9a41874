"""Every text that devices, people and files may bring is hostile at once; every page is read as a browser reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

from sqlalchemy import JSON, Connection, insert, select, update

from gateway.reading import Event, Reading
from services.clock import to_millis
from services.tables import device_states, devices
from tests.web.conftest import Courtyard
from tests.web.test_pages import PAGES

EVIL = "'\"><img src=x onerror=alert(1)><script>alert(1)</script> onfocus=alert(1) autofocus {{ 7*7 }} \u202e&#60;"
LURE = "javascript:alert(1)"
STRANGER = f"pumps:{EVIL}"[:60]
_TEXTS = re.compile(
    r"(name|title|place|contact|what|instead|text)(_zh|_en)?|body|note|address|error|last_error|target|acknowledged_by"
)
_BY_NAME = {("command_events", "what"), ("ticket_events", "what")}
"""Names of steps and not texts."""
_JSON = {"reason", "data", "detail", "announced", "said", "steps", "values"}
_OWN = {"rule_books", "gateways", "rule_states"}
"""Tables whose JSON nobody outside writes."""
_KEPT = {"since", "measured_at", "kind", "until", "at", "from", "to"}
_MOST_PAGES = 50


class Seen(HTMLParser):
    """What a browser would make of a page: elements, attributes, where its links lead."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.mistakes: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "img" or (tag == "script" and not (found.get("src") or "").startswith("/static/")):
            self.mistakes.append(f"<{tag}> {attrs}")
        self.mistakes += [f"<{tag} {name}>" for name in found if name.startswith("on") or name == "autofocus"]
        for name in ("href", "src", "action", "hx-get", "hx-post"):
            target = found.get(name) or ""
            if re.match(r"\s*(javascript|data|vbscript):", target, re.I):
                self.mistakes.append(f"<{tag} {name}={target[:40]}>")
            if name == "href" and target.startswith("/") and not target.startswith(("//", "/static", "/api")):
                self.links.append(target.partition("#")[0])


def _evil(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _evil(inner, name) for name, inner in value.items()} | ({"<img src=x>": EVIL} if not key else {})
    if isinstance(value, list):
        return [_evil(inner, key) for inner in value]
    return f"{value}{EVIL}" if isinstance(value, str) and key not in _KEPT else value


def _poison(connection: Connection) -> None:
    for table in devices.metadata.sorted_tables:
        texts = {
            column.name: EVIL
            for column in table.columns
            if _TEXTS.fullmatch(column.name) and not column.primary_key and (table.name, column.name) not in _BY_NAME
        }
        texts.pop("address", None)  # one of each profile: below, of strangers
        if texts:
            connection.execute(update(table).values(**texts))
        for column in table.columns:
            if (
                column.name in _JSON
                and isinstance(column.type, JSON)
                and table.name not in ("rule_books", "gateways", "rule_states")
            ):
                _poison_json(connection, table, column.name)


def _poison_json(connection: Connection, table: Any, name: str) -> None:
    keys = list(table.primary_key.columns)
    for row in connection.execute(select(*keys, table.c[name])).all():
        if row[-1]:
            where = [key == value for key, value in zip(keys, row, strict=False)]
            connection.execute(update(table).where(*where).values({name: _evil(row[-1])}))


def _strangers(connection: Connection, now: datetime) -> None:
    said = {"name": EVIL, "url": LURE, "model": LURE, EVIL[:30]: EVIL}
    row = {"id": STRANGER, "site": None, "profile": "booster_set", "address": EVIL, "name_zh": "", "name_en": "",
           "params": {}, "origin": "heard", "announced": said, "created_at": now, "updated_at": now}  # fmt: skip
    known = devices.columns.keys()
    connection.execute(insert(devices).values({name: value for name, value in row.items() if name in known}))
    for child in ("", f"pump:{EVIL}"[:64]):
        values = {"run": EVIL, "current": 1.5, "<b>": EVIL, "__proto__": 7.0, "constructor": EVIL}
        times = dict.fromkeys(values, to_millis(now))
        state = {"device": STRANGER, "child": child, "presence": "online", "last_heard_at": now, "measured_at": now}
        connection.execute(insert(device_states).values(values=values, value_times=times, flags={EVIL: EVIL}, **state))


def _happened(courtyard: Courtyard, now: datetime) -> None:
    at = to_millis(now)
    events = (Event("session_ended", {"reason": EVIL, EVIL: LURE}, key=EVIL),)
    reading = Reading(
        "pile-3", "port:5", at, at, "x", {"port_state": EVIL}, events=events, profile="ebike_charger_json"
    )
    courtyard.context.telemetry.write([reading])


def _pages(courtyard: Courtyard, paths: list[str]) -> Iterator[tuple[str, int, Seen]]:
    client = courtyard.client("chen.yu")
    seen: set[str] = set()
    while paths and len(seen) < _MOST_PAGES:
        path = paths.pop(0)
        if path in seen:
            continue
        seen.add(path)
        answer = client.get(path)
        page = Seen(answer.text)
        yield path, answer.status_code, page
        paths += [link for link in page.links if link not in seen]


def test_no_page_takes_a_text_for_markup(courtyard: Courtyard) -> None:
    now = datetime.now(UTC)
    with courtyard.context.database.write() as connection:
        _poison(connection)
        _strangers(connection, now)
    _happened(courtyard, now)
    found: dict[str, object] = {}
    first = ["/unclaimed", f"/unclaimed/{quote(STRANGER, safe='')}", f"/devices/{quote(STRANGER, safe='')}", *PAGES]
    for path, status, page in _pages(courtyard, first):
        if page.mistakes or status >= 500:
            found[path] = (status, page.mistakes[:3])
    assert not found
