"""A binding's `reply:` compiled: a message that answers a command."""

from __future__ import annotations

from collections.abc import Callable

from device_profiles.schema import DeviceProfile
from device_profiles.schema import Reply as ReplyMap
from gateway.decode.errors import DecodeError, shown
from gateway.decode.paths import parse_path
from gateway.decode.pipeline import wire_word
from gateway.decode.scope import Scope, lenient_scope_getter
from gateway.decode.templates import check_key, filler, parse_template
from gateway.reading import Reply, child_id

LONGEST_RESULT = 200


class ReplyReader:
    """Reads who is answered, and how. Building it raises ValueError."""

    def __init__(self, profile: DeviceProfile, reply: ReplyMap, captures: frozenset[str]) -> None:
        self._commands = (reply.command, *reply.also)
        for name in self._commands:
            if name not in profile.commands:
                raise ValueError(f"expected a command of the profile in reply, found {name!r}")
        command = profile.commands[reply.command]
        if reply.child is not None and command.scope is None:
            raise ValueError(f"expected no child in the reply to {reply.command}, a command of the device itself")
        self._scope = command.scope or ""
        self._correlation = _template(reply.correlation, captures)
        self._child = _template(reply.child, captures)
        self._result = None if reply.result is None else lenient_scope_getter(parse_path(reply.result))
        self._path = reply.result or ""
        self._ok = frozenset(wire_word(word) for word in reply.ok)
        self._bad = frozenset(reply.reasons)

    def read(self, scope: Scope) -> tuple[str, tuple[Reply, ...]]:
        """The child that answers ("" for the device itself), and its answer, to each command that it may be for."""
        child = "" if self._child is None else child_id(self._scope, check_key(self._child(scope)))
        correlation = "" if self._correlation is None else self._correlation(scope)
        if len(correlation) > LONGEST_RESULT:
            raise DecodeError("too_large", field="correlation", found=shown(correlation), expected="a number or an id")
        if self._result is None:
            return child, tuple(Reply(name, correlation) for name in self._commands)
        raw = self._result(scope)
        if raw is None or type(raw) not in (str, int, float, bool):
            code = "missing" if raw is None else "wrong_type"
            raise DecodeError(code, field=self._path, found=shown(raw), expected="the result of a command")
        word = wire_word(raw)[:LONGEST_RESULT]
        # Where the profile does not list what is good, everything is that is not listed as bad.
        good = word in self._ok if self._ok else word not in self._bad
        return child, tuple(Reply(name, correlation, good, word) for name in self._commands)


def _template(text: str | None, captures: frozenset[str]) -> Callable[[Scope], str] | None:
    return None if text is None else filler(parse_template(text), captures, frozenset())
