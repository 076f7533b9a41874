"""Rules in the reader's words: conditions with names instead of ids, and params with the values they have here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from device_profiles.schema import DeviceProfile, parse_duration
from gateway.reading import Value
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.pages.words import COMMAND, PRESENCE
from services.web.views.clauses import COUNT, GROUPED, LOOKS, length

_TOKEN = re.compile(
    r"""(?P<text>"[^"]*"|'[^']*')|(?P<number>\d[\w.%°]*)|(?P<name>(?:parent\.|alarm\.)?[A-Za-z_]\w*)|(?P<sign><=|>=|==|!=|\S)|(?P<space>\s+)"""
)
_OPERATORS = {"and": N_("and"), "or": N_("or"), "not": N_("not"), "in": N_("is one of")}
_SIGNS = {"<=": "≤", ">=": "≥", "==": "=", "!=": "≠", "*": "×", "-": "−"}
_BUILTINS = {"presence": N_("presence"), "silence": N_("time since it was last heard")}
_FUNCTIONS = {
    "rate": N_("change per second of"),
    "delta": N_("change of"),
    "mean": N_("mean of"),
    "count": N_("number of"),
    "changed": N_("changed:"),
    "abs": N_("size of"),
    "min": N_("least of"),
    "max": N_("greatest of"),
}
_OF_COMMAND = "_command"
_ALARM = "alarm."
_LOOK = re.compile(r"(?P<negated>not\s+)?(?P<function>rate|delta|mean|changed|count|age|number|share)\s*\(")
_CHANGES = (N_("%(name)s does not change within %(stretch)s"), N_("%(name)s changes within %(stretch)s"))
_AGE = N_("time since %(name)s was reported")
_STRETCH = re.compile(r"\d+(\.\d+)?(ms|s|min|m|h|d)")
_LENGTHS = ("mm", "cm", "m", "km")
_CLAUSE = N_("%(condition)s, for %(time)s")


class RuleWords:
    """Says rules of one profile in one language; `params` are the values they have at this place."""

    def __init__(self, profile: DeviceProfile, params: Mapping[str, Value], t: Translations) -> None:
        self._profile = profile
        self._params = params
        self._t = t

    def condition(self, text: str) -> str:
        """As it reads: names of metrics and states, values of params, words of states."""
        return "".join(self._parts(text)).strip()

    def clause(self, text: str, held: timedelta) -> str:
        """A condition and how long it must hold."""
        said = self.condition(text)
        return self._t.gettext(_CLAUSE, condition=said, time=fmt.duration(held, self._t)) if held else said

    def param(self, name: str, value: Value) -> str:
        """A param's value with its unit."""
        uom = self._profile.params[name].uom
        return fmt.with_unit(fmt.plain(value), uom) if not isinstance(value, bool) else self._yes_or_no(value)

    def name(self, id: str) -> str:
        """What a name of an expression is called."""
        if id.startswith(_ALARM):
            known = {rule.id: rule.name.in_(self._t.language) for rule in self._profile.rules}
            called = known.get(id.removeprefix(_ALARM), id.removeprefix(_ALARM))
            return self._t.gettext("alarm “%(name)s”", name=called)
        key = id.removeprefix("parent.")
        entry: Any = self._profile.metrics.get(key) or self._profile.states.get(key) or self._profile.events.get(key)
        if entry is not None:
            return str(entry.name.in_(self._t.language))
        command = self._profile.commands.get(key.removesuffix(_OF_COMMAND)) if key.endswith(_OF_COMMAND) else None
        if command is not None:
            return self._t.gettext("command “%(name)s”", name=command.name.in_(self._t.language))
        if id in self._profile.children:
            return str(self._profile.children[id].name.in_(self._t.language))
        return self._t.gettext(_BUILTINS[id]) if id in _BUILTINS else id

    def _parts(self, text: str) -> Iterator[str]:
        words, said_until = self._state_words(text), 0
        for found in _TOKEN.finditer(text):
            token, kind = found[0], found.lastgroup
            if found.start() < said_until:
                continue
            look = _LOOK.match(text, found.start()) if kind == "name" else None
            inner = _inside(text, look.end()) if look is not None else ""
            if look is not None and (said := self._look(look, inner)):
                yield said
                said_until = look.end() + len(inner) + 1
            elif kind == "sign":
                yield _SIGNS.get(token, token)
            elif kind == "number":
                yield self._number(token)
            elif kind != "name":
                yield token
            elif token in self._params and token in self._profile.params:
                yield self.param(token, self._params[token])
            elif token in _OPERATORS:
                yield self._t.gettext(_OPERATORS[token])
            elif token in _FUNCTIONS and text[found.end() :].lstrip().startswith("("):
                yield f"{self._t.gettext(_FUNCTIONS[token])} "
            else:
                yield words.get(token) or self.name(token)

    def _look(self, found: re.Match[str], inner: str) -> str:
        """A look back in time: "change of the pressure over 30 min"; "" where it cannot be read."""
        if found["function"] == "age":
            return self._t.gettext(_AGE, name=self.condition(inner)) if not found["negated"] else ""
        if found["function"] in GROUPED:
            return self._members(found, inner)
        what, comma, stretch = inner.rpartition(",")
        seconds = _seconds(stretch.strip())
        if not comma or seconds is None:
            return ""
        function, name, over = found["function"], self.condition(what), length(seconds, self._t)
        if function == "changed":
            message = _CHANGES[not found["negated"]]
            return self._t.gettext(message, name=name, stretch=over)
        negated = f"{self._t.gettext(_OPERATORS['not'])} " if found["negated"] else ""
        if function == "count":
            return negated + self._t.gettext(COUNT, what=name, stretch=over)
        return negated + self._t.gettext(LOOKS[function], name=name, stretch=over)

    def _members(self, found: re.Match[str], inner: str) -> str:
        """How many of something meet a condition; "" where it cannot be read."""
        id, comma, asked = inner.partition(",")
        if not comma or found["negated"]:
            return ""
        kind = self._t.gettext("Devices") if id.strip() == "device" else self.name(id.strip())
        message = GROUPED[found["function"]]
        return self._t.gettext(message, kind=kind, what=self.condition(asked))

    def _number(self, token: str) -> str:
        """A stretch of time in words, where it can be nothing else: `24h`, and `5m` where no metric is a length."""
        seconds = _seconds(token)
        minutes = token.endswith("m") and any(one.uom in _LENGTHS for one in self._profile.metrics.values())
        return token if seconds is None or minutes else length(seconds, self._t)

    def _state_words(self, text: str) -> dict[str, str]:
        """The words of the states that a condition mentions."""
        found: dict[str, str] = {}
        if _OF_COMMAND in text:
            found |= {word: self._t.gettext(mark.word) for word, mark in COMMAND.items()}
        if re.search(r"\bpresence\b", text):
            found |= {word: self._t.gettext(mark.word) for word, mark in PRESENCE.items()}
        for id, state in self._profile.states.items():
            if re.search(rf"\b{id}\b", text):
                found |= {word: getattr(said, self._t.language) for word, said in state.values.items()}
        return {word: said for word, said in found.items() if word not in self._profile.metrics}

    def _yes_or_no(self, value: bool) -> str:
        return self._t.gettext("yes") if value else self._t.gettext("no")


def _seconds(text: str) -> float | None:
    if not _STRETCH.fullmatch(text):
        return None
    return parse_duration(text.replace("min", "m")).total_seconds()


def _inside(text: str, begins: int) -> str:
    """What stands in the brackets that open just before."""
    depth = 1
    for at in range(begins, len(text)):
        depth += (text[at] in "([") - (text[at] in ")]")
        if not depth:
            return text[begins:at]
    return ""
