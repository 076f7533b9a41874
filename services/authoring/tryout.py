"""Trying a profile once, within bounds of size and time; nothing in a profile is executed."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Literal

from device_profiles.library import Mistake, ProfileMistakes, load_text
from device_profiles.schema import DeviceProfile
from gateway.commands.samples import prove
from services.authoring.capture import Message
from services.authoring.trial import Outcome, Trial
from services.rules.profile_tests import failure_of

LARGEST_YAML = 100_000
"""Characters; the largest shipped profile has half of that."""
LARGEST_PAYLOAD = 64_000
"""Bytes of a payload that is tried."""
MOST_SECONDS = 5.0
"""How long samples and rule tests may take; those left then are said not to be tried."""
_MOST_MISTAKES = 50
_AROUND = 2
_AT_ONCE = 10
Form = Literal["text", "hex", "base64"]


class NotPossible(ValueError):
    """What was given cannot be tried: too large, or no payload at all."""


@dataclass(frozen=True)
class Excerpt:
    """A mistake with the lines around it."""

    mistake: Mistake
    lines: tuple[tuple[int, str], ...]
    """(number, text) of the lines around; the mistake's own is among them."""


@dataclass(frozen=True)
class Proof:
    """What the samples and rule tests of a profile said."""

    samples: int = 0
    rule_tests: int = 0
    failures: tuple[str, ...] = ()
    untried: int = 0
    """Samples and tests there was no time for."""


@dataclass(frozen=True)
class Tried:
    """What came of it: mistakes, or the profile with what the message became."""

    profile: DeviceProfile | None = None
    excerpts: tuple[Excerpt, ...] = ()
    outcome: Outcome | None = None
    proof: Proof | None = field(default=None)


def payload_of(text: str, form: Form) -> bytes:
    """The bytes a person typed; raises NotPossible that says what was found and what was expected."""
    if form == "text":
        payload = text.encode("utf-8", "surrogatepass")
    elif form == "hex":
        digits = re.sub(r"\s|0x|[:,-]", "", text)
        try:
            payload = bytes.fromhex(digits)
        except ValueError:
            raise NotPossible(f"found {text[:40]!r}, expected pairs of hex digits") from None
    else:
        try:
            payload = base64.b64decode(re.sub(r"\s", "", text), validate=True)
        except (binascii.Error, ValueError):
            raise NotPossible(f"found {text[:40]!r}, expected base64") from None
    if len(payload) > LARGEST_PAYLOAD:
        raise NotPossible(f"found a payload of {len(payload)} bytes, expected at most {LARGEST_PAYLOAD}")
    return payload


def read_profile(text: str) -> tuple[DeviceProfile | None, tuple[Excerpt, ...]]:
    """A pasted profile, or its mistakes with the lines around them. Raises NotPossible where it is too large."""
    if len(text) > LARGEST_YAML:
        raise NotPossible(f"found a profile of {len(text)} characters, expected at most {LARGEST_YAML}")
    try:
        return load_text(text, Path("profile.yaml")), ()
    except ProfileMistakes as found:
        lines = text.splitlines()
        return None, tuple(_excerpt(one, lines) for one in found.mistakes[:_MOST_MISTAKES])


def _excerpt(mistake: Mistake, lines: list[str]) -> Excerpt:
    first = max(1, mistake.line - _AROUND)
    last = min(len(lines), mistake.line + _AROUND)
    return Excerpt(mistake, tuple((number, lines[number - 1][:200]) for number in range(first, last + 1)))


def try_profile(
    profile: DeviceProfile, message: Message | None, *, prove: bool, seconds: Callable[[], float], zone: tzinfo = UTC
) -> Tried:
    """What the message becomes, and with `prove` what the samples and rule tests say.

    `seconds` is a clock that only ever goes forward. Raises NotPossible where the bindings do not compile.
    """
    try:
        outcome = None if message is None else Trial(profile, zone).decode(message)
    except ValueError as error:
        raise NotPossible(str(error)) from None
    return Tried(profile, (), outcome, _proof(profile, seconds) if prove else None)


def _proof(profile: DeviceProfile, seconds: Callable[[], float]) -> Proof:
    until = seconds() + MOST_SECONDS
    samples = rule_tests = untried = 0
    failures: list[str] = []
    for start in range(0, len(profile.samples), _AT_ONCE):
        part = profile.samples[start : start + _AT_ONCE]
        if seconds() > until:
            untried += len(part)
            continue
        failures += prove(profile.model_copy(update={"samples": part}))
        samples += len(part)
    for rule in profile.rules:
        for i in range(len(rule.tests)):
            if seconds() > until:
                untried += 1
                continue
            rule_tests += 1
            failure = failure_of(profile, rule, i)
            if failure:
                failures.append(f"rule {rule.id!r}, {failure}")
    return Proof(samples, rule_tests, tuple(failures), untried)
