"""Rules in the reader's words: conditions with names instead of ids, and params with the values they have here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from device_profiles.schema import DeviceProfile
from gateway.reading import Value
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.pages.words import COMMAND, PRESENCE

_TOKEN = re.compile(
    r"""(?P<text>"[^"]*"|'[^']*')|(?P<number>\d[\w.%°]*)|(?P<name>(?:parent\.)?[A-Za-z_]\w*)|(?P<sign><=|>=|==|!=|\S)|(?P<space>\s+)"""
)
_OPERATORS = {"and": N_("and"), "or": N_("or"), "not": N_("not"), "in": N_("is one of")}
_SIGNS = {"<=": "≤", ">=": "≥", "==": "=", "!=": "≠", "*": "×", "-": "−"}
_BUILTINS = {"presence": N_("presence"), "silence": N_("seconds since it was last heard")}
_FUNCTIONS = {
    "age": N_("age of"),
    "rate": N_("change per second of"),
    "delta": N_("change of"),
    "mean": N_("mean of"),
    "count": N_("number of"),
    "number": N_("number of"),
    "changed": N_("changed:"),
    "abs": N_("size of"),
    "min": N_("least of"),
    "max": N_("greatest of"),
}
_OF_COMMAND = "_command"
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
        words = self._state_words(text)
        for found in _TOKEN.finditer(text):
            token, kind = found[0], found.lastgroup
            if kind == "sign":
                yield _SIGNS.get(token, token)
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
