"""Bindings: topic and address, chain, conditions, times, replies, and what their fields become."""

from __future__ import annotations

import re
from collections.abc import Collection

from device_profiles.checks import codecs, conditions, templates
from device_profiles.checks.conditions import value_path, value_paths
from device_profiles.checks.fields import Place, check_each, check_ends, check_events, check_fields, check_presence
from device_profiles.checks.subject import Mistakes, Path, Subject
from device_profiles.mistakes import nearest, one_of, shown
from device_profiles.schema import Binding, Reply, Split, Time, When

_FORMATS = ("unix_s", "unix_ms", "unix_us", "unix_ns", "iso", "seconds_ago")
_SAYS_NOTHING_WITH = ("fields", "each", "events", "presence", "says", "keepalive", "reply", "sequence", "split")


def check(subject: Subject) -> Mistakes:
    """Every binding, and what takes all of them together."""
    profile = subject.profile
    yield from subject.each_once(("bindings",), (binding.id for binding in profile.bindings))
    if not profile.bindings and "bindings" not in subject.left_out:
        yield subject.mistake(("bindings",), "no bindings", "at least one")
    for i, binding in enumerate(profile.bindings):
        yield from _binding(subject, binding, ("bindings", i))
    yield from check_ends(subject)


def _binding(subject: Subject, binding: Binding, path: Path) -> Mistakes:
    captures = {*templates.captures_of(binding.topic), *(one.capture for one in binding.split if one.capture)}
    yield from templates.topic(subject, (*path, "topic"), binding.topic)
    yield from _address(subject, binding, captures, path)
    yield from codecs.check(subject, binding, captures, path)
    for i, when in enumerate(binding.when):
        yield from conditions.check(subject, when, captures, (*path, "when", i))
    if isinstance(binding.history, When):
        yield from conditions.check(subject, binding.history, captures, (*path, "history"))
    for i, split in enumerate(binding.split):
        yield from _split(subject, split, (*path, "split", i))
        if split.capture in templates.captures_of(binding.topic):
            here: Path = (*path, "split", i, "capture")
            yield subject.mistake(here, f"{split.capture!r}, a capture of the topic", "a name of its own")
    if binding.time is not None:
        yield from _time(subject, binding.time, captures, (*path, "time"))
        if binding.time.step is not None and not binding.split:
            yield subject.mistake((*path, "time", "step"), "step without split", "split: the array of the points")
    yield from _says(subject, binding, path)
    place = Place(None, captures)
    yield from check_fields(subject, binding.fields, place, (*path, "fields"))
    yield from check_events(subject, binding.events, place, (*path, "events"))
    for i, each in enumerate(binding.each):
        yield from check_each(subject, each, captures, (*path, "each", i))
    if binding.sequence is not None:
        yield from _sequence(subject, binding, (*path, "sequence"))
    if binding.reply is not None:
        yield from _reply(subject, binding.reply, (*path, "reply"))


def _address(subject: Subject, binding: Binding, captures: Collection[str], path: Path) -> Mistakes:
    if binding.address is not None:
        yield from templates.template(subject, (*path, "address"), binding.address)
    elif "address" not in captures and not binding.ignore:
        expected = "the capture {address} (of the topic or of split), or the key address"
        yield subject.mistake((*path, "topic"), shown(binding.topic), expected)
    if not subject.profile.discovery or binding.registered_only:
        return
    if not re.search(r"[^/]", re.sub(r"\{[^}]*\}|[+#]", "", binding.topic)) and binding.topic:
        expected = "a level with a word of its own, or discovery: false: it hears the messages of all other devices"
        yield subject.mistake((*path, "topic"), shown(binding.topic), expected)


def _split(subject: Subject, split: Split, path: Path) -> Mistakes:
    yield from subject.exactly_one(path, split, ("over", "zip"))
    if split.over is not None:
        yield from value_path(subject, (*path, "over"), split.over)
    for i, array in enumerate(split.zip):
        yield from value_path(subject, (*path, "zip", i), array)
        if "[" in array or array.strip() in ("", "$", "@"):
            yield subject.mistake((*path, "zip", i), shown(array), "the path of an array by keys alone, such as a.b")
    if split.elements != "auto" and split.zip:
        yield subject.mistake((*path, "elements"), "elements without over", "over: the object they are in")


def _time(subject: Subject, time: Time, captures: Collection[str], path: Path) -> Mistakes:
    yield from subject.exactly_one(path, time, ("path", "capture", "join"))
    if time.capture is not None:
        yield from subject.known((*path, "capture"), time.capture, captures, "topic capture")
    if time.path is not None:
        yield from value_paths(subject, (*path, "path"), time.path)
    for i, text in enumerate(time.join):
        yield from value_path(subject, (*path, "join", i), text)
    if time.when is not None:
        yield from conditions.of_values(subject, time.when, captures, (*path, "when"))
    if time.step is not None and not time.step:
        yield subject.mistake((*path, "step"), "no time", 'a step such as 15m, or "-60s" for backwards')
    if time.format not in _FORMATS and "%" not in time.format:
        expected = f"{one_of(_FORMATS)}, or a strptime format such as %Y-%m-%d %H:%M:%S{nearest(time.format, _FORMATS)}"
        yield subject.mistake((*path, "format"), shown(time.format), expected)
    for zone, offset in time.zones.items():
        if not re.fullmatch(r"[+-](?:0\d|1[0-4]):?[0-5]\d", offset):
            yield subject.mistake((*path, "zones", zone), shown(offset), 'an offset such as "+08:00"')
    if time.zones and "%" in time.format and "%Z" not in time.format:
        yield subject.mistake((*path, "format"), shown(time.format), "%Z where the abbreviation stands")


def _says(subject: Subject, binding: Binding, path: Path) -> Mistakes:
    if binding.ignore:
        for key in _SAYS_NOTHING_WITH:
            if getattr(binding, key) not in (None, False, (), {}):
                yield subject.mistake((*path, key), f"{key} of a message that is ignored", "no ignore, or nothing else")
    yield from check_presence(subject, binding, path)


def _sequence(subject: Subject, binding: Binding, path: Path) -> Mistakes:
    assert binding.sequence is not None
    event = binding.sequence.event
    yield from value_path(subject, (*path, "path"), binding.sequence.path)
    yield from subject.known((*path, "event"), event, subject.profile.events, "event")
    declared = subject.profile.events.get(event)
    if declared is not None:
        yield from subject.scope((*path, "event"), event, declared.scope, None)
        if declared.lasting:
            yield subject.mistake((*path, "event"), f"{event}, which lasts", "an event that happens at a moment")


def _reply(subject: Subject, reply: Reply, path: Path) -> Mistakes:
    yield from subject.known((*path, "command"), reply.command, subject.profile.commands, "command")
    for i, also in enumerate(reply.also):
        yield from subject.known((*path, "also", i), also, subject.profile.commands, "command")
    declared = subject.profile.commands.get(reply.command)
    for key in ("correlation", "child"):
        if (text := getattr(reply, key)) is not None:
            yield from templates.template(subject, (*path, key), text)
    if reply.child is not None and declared is not None and declared.scope is None:
        found = f"the child of {reply.command}, a command of the device"
        yield subject.mistake((*path, "child"), found, "no child, or a command with scope")
    if reply.result is not None:
        yield from value_path(subject, (*path, "result"), reply.result)
    if reply.result is not None and not reply.ok:
        yield subject.mistake((*path, "result"), "result without ok", "ok: the results that are good")
    if reply.result is None:
        for key in ("ok", "reasons"):
            if getattr(reply, key):
                yield subject.mistake((*path, key), f"{key} without result", "result: the path of the result")
