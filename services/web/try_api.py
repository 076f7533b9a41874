"""A profile tried on one message: bounded in size and time, nothing executed, nothing kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from fastapi import APIRouter
from pydantic import BaseModel, Field

from device_profiles.mistakes import nearest
from device_profiles.schema import DeviceProfile
from gateway.reading import Reading
from services.authoring.capture import Message
from services.authoring.trial import Outcome, rows_of
from services.authoring.tryout import (
    LARGEST_PAYLOAD,
    LARGEST_YAML,
    Excerpt,
    Form,
    NotPossible,
    Proof,
    Tried,
    payload_of,
    read_profile,
    try_profile,
)
from services.clock import from_millis, to_millis
from services.context import Context
from services.web.problems import Problem
from services.web.security import ContextOf, Engineer

router = APIRouter(prefix="/profiles", tags=["profiles"])
_AT_ONCE = threading.BoundedSemaphore(2)
"""Trying costs up to seconds of one core: pages and ingest must not wait for it."""
_PATIENCE_SECONDS = 3.0


class Trying(BaseModel):
    """Which profile, and the message it is tried on."""

    profile: str = Field("", max_length=64, description="The id of a loaded profile; or give `yaml`.")
    yaml: str = Field("", max_length=LARGEST_YAML, description="A profile's text. It is not stored.")
    topic: str = Field("", max_length=1024, description="Of the message; empty: only the profile is looked at.")
    payload: str = Field("", max_length=LARGEST_PAYLOAD * 4, description="The payload, written as `form` says.")
    form: Form = "text"
    retained: bool = False
    timezone: str = Field("UTC", max_length=64, description="The site's zone, for times without one.")
    prove: bool = Field(False, description="Also run the profile's samples and rule tests.")


class MistakeSaid(BaseModel):
    line: int
    where: str
    found: str
    expected: str


class ValueRead(BaseModel):
    name: str
    value: float | int | str | bool | None
    zh: str = Field(description="The value with its unit, or its word, in Chinese.")
    en: str = Field(description="The same in English.")
    flag: str = Field(description="Why it is not good; empty where it is.")


class ReadingSaid(BaseModel):
    device: str
    child: str
    binding: str
    measured_at: datetime
    quality: str
    presence: str
    values: list[ValueRead]
    events: list[dict[str, Any]]
    replies: list[dict[str, Any]]


class NotDecoded(BaseModel):
    code: str
    binding: str
    field: str
    found: str
    expected: str
    hint: str


class Proven(BaseModel):
    samples: int
    rule_tests: int
    failures: list[str]
    untried: int = Field(description="Samples and tests there was no time for.")


class TriedOut(BaseModel):
    """Either mistakes, or what the message became."""

    profile: str
    mistakes: list[MistakeSaid] = []
    readings: list[ReadingSaid] = []
    error: NotDecoded | None = None
    ignored: bool = Field(False, description="Recognised, and ignored on purpose.")
    unread: list[str] = Field([], description="Keys of the payload that nothing reads.")
    absent: list[str] = Field([], description="Fields that found nothing in the payload.")
    proof: Proven | None = None


@router.post("/try", summary="Try a profile on a message")
def try_out(context: ContextOf, _: Engineer, wanted: Trying) -> TriedOut:
    """What one message becomes with a loaded or a pasted profile, or why not."""
    return _said(tried_out(context, wanted))


def tried_out(context: Context, wanted: Trying) -> Tried:
    """For the API and the page alike; raises Problem."""
    with _one_of_few():
        try:
            profile, excerpts = _profile(context, wanted)
            if profile is None:
                return Tried(excerpts=excerpts)
            zone = _zone(wanted.timezone)
            return try_profile(
                profile, _message(context, wanted), prove=wanted.prove, seconds=time.monotonic, zone=zone
            )
        except NotPossible as error:
            raise Problem(422, "not-valid", str(error), "Mend it and try again.") from None


@contextmanager
def _one_of_few() -> Iterator[None]:
    if not _AT_ONCE.acquire(timeout=_PATIENCE_SECONDS):
        raise Problem(
            503, "busy", "Other profiles are being tried.", "Try again in a few seconds.", {"Retry-After": "5"}
        )
    try:
        yield
    finally:
        _AT_ONCE.release()


def _profile(context: Context, wanted: Trying) -> tuple[DeviceProfile | None, tuple[Excerpt, ...]]:
    if wanted.yaml.strip():
        return read_profile(wanted.yaml)
    if wanted.profile not in context.library:
        near = nearest(wanted.profile, context.library)
        raise NotPossible(f"found the profile {wanted.profile!r}, expected one that is loaded, or yaml{near}")
    return context.library[wanted.profile], ()


def _message(context: Context, wanted: Trying) -> Message | None:
    if not wanted.topic:
        return None
    payload = payload_of(wanted.payload, wanted.form)
    return Message(to_millis(context.clock.now()), wanted.topic, payload, wanted.retained)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotPossible(f"found the zone {name[:40]!r}, expected an IANA zone such as Asia/Shanghai") from None


# --- as JSON --------------------------------------------------------------------------------------------------------


def _said(tried: Tried) -> TriedOut:
    mistakes = [
        MistakeSaid(
            line=one.mistake.line, where=one.mistake.where, found=one.mistake.found, expected=one.mistake.expected
        )
        for one in tried.excerpts
    ]
    said = TriedOut(profile="" if tried.profile is None else tried.profile.id, mistakes=mistakes)
    if tried.outcome is not None and tried.profile is not None:
        said = said.model_copy(update=_outcome(tried.profile, tried.outcome))
    return said.model_copy(update={"proof": _proven(tried.proof)})


def _outcome(profile: DeviceProfile, outcome: Outcome) -> dict[str, Any]:
    error = outcome.error
    return {
        "readings": [_reading(profile, one) for one in outcome.readings],
        "error": None
        if error is None
        else NotDecoded(
            code=error.code,
            binding=error.binding,
            field=error.field,
            found=error.found,
            expected=error.expected,
            hint=outcome.hint,
        ),
        "ignored": error is None and not outcome.readings,
        "unread": list(outcome.unread),
        "absent": list(outcome.absent),
    }


def _reading(profile: DeviceProfile, reading: Reading) -> ReadingSaid:
    return ReadingSaid(
        device=reading.device,
        child=reading.child,
        binding=reading.binding,
        measured_at=from_millis(reading.measured_at),
        quality=reading.quality.value,
        presence=reading.presence.value,
        values=[
            ValueRead(name=row.name, value=row.value, zh=row.shown.zh, en=row.shown.en, flag=row.flag)
            for row in rows_of(profile, reading)
        ],
        events=[{"id": one.id, "data": one.data, "phase": one.phase, "key": one.key} for one in reading.events],
        replies=[
            {"command": one.command, "correlation": one.correlation, "ok": one.ok, "result": one.result}
            for one in reading.replies
        ],
    )


def _proven(proof: Proof | None) -> Proven | None:
    if proof is None:
        return None
    return Proven(
        samples=proof.samples, rule_tests=proof.rule_tests, failures=list(proof.failures), untried=proof.untried
    )
