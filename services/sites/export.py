"""A site as its file would say it now, adopted devices and all: so that the file can be brought up to date.

What it writes imports again without changing anything but whose the adopted devices are.
"""

from __future__ import annotations

from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from sqlalchemy import Connection, select

from services.natural import natural
from services.scope import NotFound
from services.tables import buildings, devices, recipients, sites, supplies, units

Entry = dict[str, Any]


def export_site(connection: Connection, site: str) -> str:
    """The YAML text; raises NotFound."""
    row = connection.execute(select(sites).where(sites.c.id == site)).mappings().one_or_none()
    if row is None:
        raise NotFound("site", site)
    document: Entry = {"site": row["id"], "name": _text(row, "name"), "timezone": row["timezone"]}
    if row["contact_zh"] or row["contact_en"]:
        document["contact"] = _text(row, "contact")
    if row["params"]:
        document["params"] = row["params"]
    for key, entries in (
        ("buildings", _buildings(connection, site)),
        ("devices", _devices(connection, site)),
        ("supplies", _supplies(connection, site)),
        ("feeds", row["feeds"]),
        ("rules", row["rules"]),
        ("recipients", _recipients(connection, site)),
    ):
        if entries:
            document[key] = entries
    return _written(document)


def _written(document: Entry) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None  # what fits on a line stands on a line
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    into = StringIO()
    yaml.dump(document, into)
    return into.getvalue()


def _rows(connection: Connection, table: Any, site: str) -> list[Any]:
    return list(connection.execute(select(table).where(table.c.site == site)).mappings())


def _text(row: Any, name: str) -> str | Entry:
    zh, en = row[f"{name}_zh"], row[f"{name}_en"]
    return zh if zh == en else {"zh": zh, "en": en}


def _said(**entry: Any) -> Entry:
    """Without what is empty: those are the defaults."""
    return {key: value for key, value in entry.items() if value not in (None, "", [], {}, False)}


def _buildings(connection: Connection, site: str) -> list[Entry]:
    homes = sorted(_rows(connection, units, site), key=lambda row: natural(row["id"]))
    return [
        _said(
            id=row["id"],
            name=_text(row, "name"),
            units=[
                {"id": unit["id"], "name": _text(unit, "name"), "households": unit["households"]}
                for unit in homes
                if unit["building"] == row["id"]
            ],
        )
        for row in sorted(_rows(connection, buildings, site), key=lambda row: row["position"])
    ]


def _devices(connection: Connection, site: str) -> list[Entry]:
    rows = sorted(_rows(connection, devices, site), key=lambda row: natural(row["id"]))
    return [
        _said(
            id=row["id"],
            profile=row["profile"],
            address=row["address"] if row["address"] != row["id"] else None,
            name=_text(row, "name"),
            building=row["building"],
            unit=row["unit"],
            place=_text(row, "place"),
            params=dict(row["params"]),
            parent=row["parent"],
        )
        for row in rows
        if row["retired_at"] is None
    ]


def _supplies(connection: Connection, site: str) -> list[Entry]:
    rows = sorted(_rows(connection, supplies, site), key=lambda row: natural(row["id"]))
    everything = [row["id"] for row in sorted(_rows(connection, buildings, site), key=lambda row: row["position"])]
    return [_supply(row, everything) for row in rows if row["members"]]


def _supply(row: Any, everything: list[str]) -> Entry:
    whole = [entry["building"] for entry in row["scope"] if entry["unit"] is None]
    parts = [entry for entry in row["scope"] if entry["unit"] is not None]
    return _said(
        id=row["id"],
        service=row["service"],
        name=_text(row, "name"),
        needs=None if row["needs_all"] else row["needs"],
        members=[_said(device=one["device"], child=one["child"], vital=one.get("vital")) for one in row["members"]],
        buildings=[] if not parts and whole == everything else whole,
        units=[{"building": one["building"], "unit": one["unit"]} for one in parts],
    )


def _recipients(connection: Connection, site: str) -> list[Entry]:
    rows = sorted(_rows(connection, recipients, site), key=lambda row: natural(row["id"]))
    return [
        _said(
            id=row["id"].removeprefix(f"{site}:"),
            name=row["name"],
            audience=row["audience"],
            channel=row["channel"],
            to=row["target"],
            lang=row["language"],
            about=list(row["about"]),
            min_severity=row["min_severity"],
            buildings=list(row["buildings"]),
            step=row["step"] or None,
            digest=row["digest"],
        )
        for row in rows
    ]
