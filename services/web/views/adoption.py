"""New devices and the form that places one, as the pages show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, select
from starlette.datastructures import FormData

from device_profiles.schema import DeviceProfile, Param
from services.adoption.model import Unclaimed
from services.sites import store
from services.sites.store import Site
from services.tables import devices
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.views.alarms import value_text

_FIGURES = 6
TYPES = {"number": N_("a number"), "integer": N_("a whole number"), "text": N_("text"), "boolean": N_("yes or no")}


@dataclass(frozen=True)
class Row:
    """A new device in the list."""

    id: str
    href: str
    profile: str
    profile_name: str
    address: str
    gateway: str
    first_heard_at: datetime | None
    last_heard_at: datetime | None
    announced: tuple[tuple[str, str], ...]
    figures: tuple[tuple[str, str], ...]
    parts: int
    place: str
    """Where it probably belongs."""
    ignored: bool


def address_of(found: Unclaimed) -> str:
    return f"/unclaimed/{quote(found.id, safe='')}"


def row(found: Unclaimed, profile: DeviceProfile | None, sites: Mapping[str, Site], t: Translations) -> Row:
    site = sites.get(found.suggestion.site or "")
    buildings = {one.id: one.name.in_(t.language) for one in site.buildings} if site else {}
    place = [site.name.in_(t.language) if site else "", buildings.get(found.suggestion.building or "", "")]
    return Row(
        id=found.id,
        href=address_of(found),
        profile=found.profile,
        profile_name=profile.name.in_(t.language) if profile else found.profile,
        address=found.address,
        gateway=found.gateway or "",
        first_heard_at=found.first_heard_at,
        last_heard_at=found.last_heard_at,
        announced=tuple((name, fmt.plain(value)) for name, value in found.announced.items()),
        figures=tuple(_figures(found, profile, t))[:_FIGURES],
        parts=len(found.children),
        place=" · ".join(text for text in place if text),
        ignored=found.ignored_at is not None,
    )


def _figures(found: Unclaimed, profile: DeviceProfile | None, t: Translations) -> Iterable[tuple[str, str]]:
    for latest in (found.latest, *found.children):
        for name, value in latest.values.items():
            entry = (profile.metrics.get(name) or profile.states.get(name)) if profile else None
            label = entry.name.in_(t.language) if entry else name
            text = value_text(entry, value, t.language) if entry and value is not None else fmt.plain(value)
            yield f"{latest.child} {label}".strip(), text


# --- the form -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Field:
    """One param of the profile."""

    key: str
    label: str
    hint: str
    type: str
    uom: str
    min: float | None
    max: float | None
    value: str


@dataclass(frozen=True)
class Choice:
    value: str
    label: str


@dataclass(frozen=True)
class Supply:
    id: str
    label: str
    value: str


@dataclass(frozen=True)
class PlaceForm:
    site: Site
    values: Mapping[str, str]
    places: tuple[Choice, ...]
    parents: tuple[Choice, ...]
    params: tuple[Field, ...]
    supplies: tuple[Supply, ...]
    parts: tuple[Choice, ...]
    """What of the device may serve: the whole of it, or all parts of one kind."""


def typed(form: FormData) -> dict[str, str]:
    """What was typed; files are nobody's business here."""
    return {key: value.strip() for key, value in form.multi_items() if isinstance(value, str)}


def suggested(found: Unclaimed) -> dict[str, str]:
    guess = found.suggestion
    return {
        "id": guess.id,
        "name_zh": guess.name,
        "name_en": guess.name,
        "where": guess.building or "",
        "parent": guess.parent or "",
    }


def standing(connection: Connection, device: store.Device) -> dict[str, str]:
    """What an adopted device says now."""
    where = "/".join(part for part in (device.building, device.unit) if part)
    found = {
        "name_zh": device.name.zh,
        "name_en": device.name.en,
        "place_zh": device.place.zh,
        "place_en": device.place.en,
        "where": where,
        "parent": device.parent or "",
        **{f"param.{name}": _shown(value) for name, value in device.params.items()},
    }
    serves = connection.scalar(select(devices.c.serves).where(devices.c.id == device.id)) or []
    for entry in serves:
        kind = entry["child"].partition(":")[0]
        found[f"serves.{entry['supply']}"] = f"{kind}:*" if kind else "self"
    return found


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) else str(value)


def form(
    connection: Connection,
    site: Site,
    profile: DeviceProfile | None,
    t: Translations,
    typed: Mapping[str, str] | None,
    otherwise: Mapping[str, str],
    *,
    own: str = "",
) -> PlaceForm:
    """`typed` is shown again; `otherwise` is what stands there at first."""
    values = typed if typed is not None else otherwise
    found = store.list_devices(connection, frozenset({site.id}), limit=5000)
    return PlaceForm(
        site=site,
        values=values,
        places=tuple(_places(site, t)),
        parents=tuple(Choice(one.id, f"{one.name.in_(t.language)} ({one.id})") for one in found if one.id != own),
        params=tuple(_field(name, param, values, t) for name, param in profile.params.items()) if profile else (),
        supplies=tuple(_supplies(connection, site, values, t)),
        parts=tuple(_parts(profile, t)),
    )


def _places(site: Site, t: Translations) -> Iterable[Choice]:
    for building in site.buildings:
        name = building.name.in_(t.language)
        yield Choice(building.id, name)
        for unit in building.units:
            yield Choice(f"{building.id}/{unit.id}", f"{name} · {unit.name.in_(t.language)}")


def _field(name: str, param: Param, values: Mapping[str, str], t: Translations) -> Field:
    default = t.gettext("default %(value)s", value=_shown(param.default) or "–")
    bounds = [
        t.gettext("at least %(value)s", value=f"{param.min:g}") if param.min is not None else "",
        t.gettext("at most %(value)s", value=f"{param.max:g}") if param.max is not None else "",
    ]
    hint = t.gettext(", ").join(text for text in (t.gettext(TYPES[param.type]), *bounds, default) if text)
    label = param.name.in_(t.language) if param.name else name
    value = values.get(f"param.{name}", "")
    return Field(f"param.{name}", label, hint, param.type, param.uom, param.min, param.max, value)


def _supplies(connection: Connection, site: Site, values: Mapping[str, str], t: Translations) -> Iterable[Supply]:
    for row in store.list_supplies(connection, frozenset({site.id}), site.id):
        name = row["name_zh"] if t.language == "zh" else row["name_en"]
        yield Supply(row["id"], name or row["id"], values.get(f"serves.{row['id']}", ""))


def _parts(profile: DeviceProfile | None, t: Translations) -> Iterable[Choice]:
    yield Choice("", t.gettext("no"))
    yield Choice("self", t.gettext("the whole device"))
    for kind, child in (profile.children if profile else {}).items():
        yield Choice(f"{kind}:*", t.gettext("every %(part)s", part=child.name.in_(t.language)))


def place_of(typed: Mapping[str, str], profile: DeviceProfile | None) -> dict[str, Any]:
    """The form as services.adoption.model.Place has it; what it makes of that is its own matter."""
    building, _, unit = typed.get("where", "").partition("/")
    name = _both(typed, "name")
    return {
        "name": name,
        "place": _both(typed, "place") or {"zh": "", "en": ""},
        "building": building or None,
        "unit": unit or None,
        "parent": typed.get("parent") or None,
        "params": {
            key.removeprefix("param."): _value(profile, key.removeprefix("param."), text)
            for key, text in typed.items()
            if key.startswith("param.") and text
        },
        "serves": [
            {"supply": key.removeprefix("serves."), "child": "" if text == "self" else text}
            for key, text in typed.items()
            if key.startswith("serves.") and text
        ],
    }


def _both(typed: Mapping[str, str], key: str) -> dict[str, str] | None:
    """One language does for both."""
    zh, en = typed.get(f"{key}_zh", ""), typed.get(f"{key}_en", "")
    return {"zh": zh or en, "en": en or zh} if zh or en else None


def _value(profile: DeviceProfile | None, name: str, text: str) -> Any:
    """As the profile types it; what does not fit stays text, and is said to be a mistake."""
    param = profile.params.get(name) if profile else None
    kind = param.type if param else "text"
    if kind == "boolean":
        return {"true": True, "false": False}.get(text, text)
    if kind in ("number", "integer"):
        try:
            return int(text) if kind == "integer" else float(text)
        except ValueError:
            return text
    return text
