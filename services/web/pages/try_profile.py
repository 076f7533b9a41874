"""Try a profile: paste a message, and see what a loaded or a pasted profile makes of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import Response
from sqlalchemy import select

from device_profiles.library import Library
from device_profiles.schema import DeviceProfile
from gateway.decode.topics import TopicTree, parse_topic
from gateway.quarantine import QuarantineEntry
from gateway.reading import Event, Reading
from services.authoring.capture import plain_text
from services.authoring.examples import example_of, example_profile, lines_of_binding
from services.authoring.trial import Row, rows_of
from services.authoring.tryout import LARGEST_PAYLOAD, LARGEST_YAML, Tried
from services.authoring.tryout import Form as WrittenAs
from services.clock import from_millis
from services.context import Context
from services.scope import in_scope
from services.tables import devices
from services.web.i18n import N_
from services.web.pages.quarantine_words import reason_of
from services.web.pages.render import reader_of, render, zone_of
from services.web.problems import Problem
from services.web.security import ContextOf, Engineer, Principal
from services.web.try_api import Trying, tried_out

router = APIRouter(include_in_schema=False)
FORMS = {"text": N_("Text"), "hex": N_("Hex digits"), "base64": "Base64"}


@router.get("/profiles/try")
def try_page(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    profile: Annotated[str, Query(max_length=64)] = "",
    quarantine: Annotated[int | None, Query(ge=1, le=2**63 - 2)] = None,
) -> Response:
    """With what becomes of a message of the quarantine, or of an example: of the profile that was chosen, else of one
    that is in use here."""
    entry = None if quarantine is None else _entry(context, principal, quarantine)
    if entry is None:
        wanted = _example(context, profile or _usual_profile(context, principal))
        return _page(request, context, principal, wanted, _tried_at_once(context, wanted), example=True)
    text = plain_text(entry.payload)
    wanted = Trying(
        profile=profile or _profile_for(context, entry.topic),
        topic=entry.topic[:1024],
        payload=(text if text is not None else entry.payload.hex(" "))[: LARGEST_PAYLOAD * 3],
        form="hex" if text is None else "text",
        retained=entry.retained,
    )
    return _page(request, context, principal, wanted, _tried_at_once(context, wanted))


@router.post("/profiles/try")
def try_it(
    request: Request,
    context: ContextOf,
    principal: Engineer,
    profile: Annotated[str, Form(max_length=64)] = "",
    yaml: Annotated[str, Form(max_length=LARGEST_YAML * 2)] = "",
    topic: Annotated[str, Form(max_length=1024)] = "",
    payload: Annotated[str, Form(max_length=LARGEST_PAYLOAD * 4)] = "",
    form: Annotated[str, Form(max_length=8)] = "text",
    retained: Annotated[bool, Form()] = False,
    timezone: Annotated[str, Form(max_length=64)] = "UTC",
    action: Annotated[str, Form(max_length=8)] = "try",
) -> Response:
    """The same page with what came of it; a mistake of the person is said there and not on a page of its own."""
    yaml = yaml.replace("\r\n", "\n")
    fields: dict[str, Any] = {"profile": profile, "topic": topic.strip(), "retained": retained, "timezone": timezone}
    known: WrittenAs = "hex" if form == "hex" else "base64" if form == "base64" else "text"
    wanted = Trying.model_construct(**fields, yaml=yaml, payload=payload, form=known, prove=action == "prove")
    if action == "copy":
        wanted = wanted.model_copy(update={"yaml": _yaml_of(context, profile) or yaml})
        return _page(request, context, principal, wanted, None)
    if action == "example":
        wanted = _example(context, profile)
        return _page(request, context, principal, wanted, _tried_at_once(context, wanted), example=True)
    if action == "prove" and not wanted.payload:
        wanted = wanted.model_copy(update={"topic": ""})
    try:
        tried, problem = tried_out(context, wanted), ""
    except Problem as refused:
        tried, problem = None, refused.detail
    shown = wanted.model_copy(update={"topic": topic.strip()})
    return _page(request, context, principal, shown, tried, problem)


def _example(context: Context, profile: str) -> Trying:
    """A loaded profile with a message of its own samples; without one where none stands for itself."""
    sample = example_of(context.library[profile]) if profile in context.library else None
    if sample is None:
        return Trying(profile=profile)
    payload = sample.text if sample.text is not None else sample.hex or ""
    return Trying(
        profile=profile, topic=sample.topic, payload=payload, form="text" if sample.text is not None else "hex"
    )


def _usual_profile(context: Context, principal: Principal) -> str:
    """One that a device has which this person may see."""
    with context.database.read() as connection:
        query = select(devices.c.profile).where(
            in_scope(devices.c.site, principal.scope), devices.c.retired_at.is_(None)
        )
        used = set(connection.scalars(query.where(devices.c.site.is_not(None)).distinct()))
    found = example_profile(context.library, used)
    return found.id if found is not None else ""


def _tried_at_once(context: Context, wanted: Trying) -> Tried | None:
    """What comes of it, if there is something to try and nobody else is trying."""
    if not (wanted.profile and wanted.topic):
        return None
    try:
        return tried_out(context, wanted)
    except Problem:
        return None  # pressing the button says why


def _page(
    request: Request,
    context: Context,
    principal: Principal,
    wanted: Trying,
    tried: Tried | None,
    problem: str = "",
    *,
    example: bool = False,
) -> Response:
    outcome = tried.outcome if tried else None
    readings = outcome.readings if outcome else []
    profile = tried.profile if tried else None
    return render(
        request,
        "try.html",
        reader_of(request, principal),
        status=422 if problem else 200,
        wanted=wanted,
        forms=FORMS,
        library=sorted(context.library.values(), key=lambda one: (one.family, one.id)),
        tried=tried,
        outcome=outcome,
        why=reason_of(outcome.error.code) if outcome and outcome.error else None,
        rows=[_shown(profile, one) for one in readings] if profile else [],
        problem=problem,
        example=example and tried is not None,
        declared=_declared(context, wanted, readings),
        largest=LARGEST_YAML,
        zone=zone_of("UTC"),
    )


def _shown(profile: DeviceProfile, reading: Reading) -> tuple[Reading, datetime, list[Row], list[str]]:
    return reading, from_millis(reading.measured_at), rows_of(profile, reading), [_event(one) for one in reading.events]


def _event(event: Event) -> str:
    phase = f" ({event.phase})" if event.phase else ""
    data = f" {json.dumps(event.data, ensure_ascii=False)}" if event.data else ""
    return f"{event.id}{phase}{data}"


def _entry(context: Context, principal: Principal, id_: int) -> QuarantineEntry | None:
    """A message of the quarantine, for those who may look at it: those who see every site."""
    if context.gateway is None or principal.scope is not None:
        return None
    found = context.gateway.quarantine_list(limit=1, before=id_ + 1)
    return found[0] if found and found[0].id == id_ else None


def _profile_for(context: Context, topic: str) -> str:
    """The profile that the message was probably meant for: one that binds its topic."""
    for profile in context.library.values():
        for binding in profile.bindings:
            if _takes(binding.topic, topic):
                return profile.id
    return ""


def _takes(bound: str, topic: str) -> bool:
    return bool(TopicTree([(parse_topic(bound), None)]).find(topic))


def _declared(context: Context, wanted: Trying, readings: list[Reading]) -> str:
    """How the profile says that the message is read: the lines of its binding."""
    if not readings:
        return ""
    return lines_of_binding(wanted.yaml or _yaml_of(context, wanted.profile), readings[0].binding)


def _yaml_of(context: Context, profile: str) -> str:
    """A loaded profile's own text, to begin from."""
    if isinstance(context.library, Library) and profile in context.library:
        return context.library.file_of(profile).read_text(encoding="utf-8")[:LARGEST_YAML]
    return ""
