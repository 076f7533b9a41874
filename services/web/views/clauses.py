"""A condition that held, as a sentence: "Suction pressure was below 0.10 MPa for 5 min: 0.06 MPa at 10:07"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from device_profiles.expression import Expression, ExpressionError, Value, names_of, parse
from device_profiles.expression.compile import compiled
from device_profiles.expression.node import Node
from device_profiles.schema import DeviceProfile, Metric
from services.rules.thresholds import COMPARISONS, MIRRORED, OPPOSITE
from services.web.i18n import N_, Translations
from services.web.pages import format as fmt
from services.web.pages import words

_IS, _IS_NOT = N_("%(name)s was %(limit)s"), N_("%(name)s was not %(limit)s")
_NUMBERS = {
    "<": N_("%(name)s was below %(limit)s"),
    "<=": N_("%(name)s was at most %(limit)s"),
    ">": N_("%(name)s was above %(limit)s"),
    ">=": N_("%(name)s was at least %(limit)s"),
    "==": _IS,
    "!=": _IS_NOT,
}
_SILENCES = {
    "<": N_("it had been heard within %(limit)s"),
    "<=": N_("it had been heard within %(limit)s"),
    ">": N_("it had not been heard for more than %(limit)s"),
    ">=": N_("it had not been heard for %(limit)s"),
}
_AGES = {
    "<": N_("%(name)s had been reported within %(limit)s"),
    "<=": N_("%(name)s had been reported within %(limit)s"),
    ">": N_("%(name)s had not been reported for more than %(limit)s"),
    ">=": N_("%(name)s had not been reported for %(limit)s"),
}
LOOKS = {
    "rate": N_("%(name)s, change per second over %(stretch)s"),
    "delta": N_("%(name)s, change over %(stretch)s"),
    "mean": N_("%(name)s, mean over %(stretch)s"),
}
CHANGED = (N_("%(name)s did not change within %(stretch)s"), N_("%(name)s changed within %(stretch)s"))
_EVENT = (N_("%(name)s was not reported"), N_("%(name)s was reported"))
COUNT = N_("how often within %(stretch)s (%(what)s)")
GROUPED = {"number": N_("number of “%(kind)s” (%(what)s)"), "share": N_("share of “%(kind)s” (%(what)s)")}
_COMMAND = N_("command “%(name)s”")
_PRESENT = (N_("it was not %(word)s"), N_("it was %(word)s"))
_JOINED = {"and": N_(" and "), "or": N_(" or ")}
_FUNCTIONS = {"min": N_("the least of (%(parts)s)"), "max": N_("the greatest of (%(parts)s)")}
_SIZE = N_("the size of (%(parts)s)")
_HELD = N_("%(what)s for %(time)s")
_AT = N_("%(what)s: %(values)s at %(time)s")
_WITH = N_("%(what)s: %(values)s")
_MET = N_("%(met)s of %(members)s: %(what)s")
UNITS = ((86_400, N_("%(n)s d")), (3_600, N_("%(n)s h")), (60, N_("%(n)s min")), (1, N_("%(n)s s")))
_SIGNS = {"+": "+", "-": "\N{MINUS SIGN}", "*": "×", "/": "÷"}
_GROUP_KEY = re.compile(r"(number|share)\((\w+), (.*)\)")


class Measured(NamedTuple):
    """One value that a condition read, in words."""

    key: str
    name: str
    text: str


class Clauses:
    """Says what held, of one profile in one language. `values`: what the condition read then, params included."""

    def __init__(self, profile: DeviceProfile, scope: str | None, values: Mapping[str, Value], t: Translations) -> None:
        self._profile = profile
        self._scope = scope
        self._values = values
        self._t = t
        self._read: Expression | None = None

    def sentence(self, when: str, held: timedelta, at: str = "") -> str:
        """What of a condition held, for how long, and with which values (measured `at`); "" where the condition cannot
        be read on this profile."""
        try:
            read = self._read = parse(when, names_of(self._profile, self._scope))
        except ExpressionError:
            return ""
        root = held_part(read.root, self._values)
        said = self.clause(root)
        said = said[:1].upper() + said[1:]
        if held:
            said = self._t.gettext(_HELD, what=said, time=length(held.total_seconds(), self._t))
        values = self._figures(root)
        if not values:
            return said
        text = self._t.gettext(", ").join(values)
        return (
            self._t.gettext(_AT, what=said, values=text, time=at)
            if at
            else self._t.gettext(_WITH, what=said, values=text)
        )

    # --- what holds ---------------------------------------------------------------------------------------------

    def clause(self, node: Node) -> str:
        """One condition in words."""
        if node.op in _JOINED:
            parts = [self.clause(arg) if arg.op not in _JOINED else f"({self.clause(arg)})" for arg in node.args]
            return self._t.gettext(_JOINED[node.op]).join(parts)
        if node.op == "not":
            return self._not(node.args[0])
        if node.op == "in":
            return self._among(node, True)
        if node.op in COMPARISONS:
            return self._compared(node)
        if node.op == "const":
            return self._t.gettext("yes") if node.value else self._t.gettext("no")
        return self._said_or_not(node, True)

    def _not(self, node: Node) -> str:
        if node.op in COMPARISONS:
            return self._compared(node._replace(op=OPPOSITE[node.op]))
        if node.op == "not":
            return self.clause(node.args[0])
        if node.op in _JOINED:
            other = "or" if node.op == "and" else "and"
            return self.clause(node._replace(op=other, args=tuple(Node("not", one.type, (one,)) for one in node.args)))
        return self._among(node, False) if node.op == "in" else self._said_or_not(node, False)

    def _said_or_not(self, node: Node, holds: bool) -> str:
        """An event, or whether something changed."""
        look = self._look(node)
        if look is not None:
            stretch = length(look.seconds, self._t)
            return self._t.gettext(CHANGED[holds], name=self.name(look.name), stretch=stretch)
        return self._t.gettext(_EVENT[holds], name=self.name(str(node.value)))

    def _among(self, node: Node, holds: bool) -> str:
        assert isinstance(node.value, frozenset)
        inner = node.args[0]
        found = [self._word(inner, value) for value in sorted(node.value, key=str)]
        if holds and inner.op == "name" and self._values.get(str(inner.value)) in node.value:
            found = [self._word(inner, self._values[str(inner.value)])]
        return self._equal(inner, self._t.gettext(_JOINED["or"]).join(found), holds)

    def _equal(self, subject: Node, word: str, holds: bool) -> str:
        if subject.op == "name" and subject.value == "presence":
            return self._t.gettext(_PRESENT[holds], word=word.lower())
        message = _IS if holds else _IS_NOT
        return self._t.gettext(message, name=self.phrase(subject), limit=word)

    def _compared(self, node: Node) -> str:
        (left, right), sign = node.args, node.op
        if left.op == "const" or (not self._is_measured(left) and self._is_measured(right)):
            left, right, sign = right, left, MIRRORED[sign]
        if left.type.kind == "boolean" and right.op == "const":
            return self.clause(left) if bool(right.value) == (sign == "==") else self._not(left)
        if left.type.kind != "number":
            word = self._word(left, right.value) if right.op == "const" else self.phrase(right)
            return self._equal(left, word, sign == "==")
        limit = self.limit(right, left)
        if left.op == "name" and left.value == "silence" and sign in _SILENCES:
            return self._t.gettext(_SILENCES[sign], limit=limit)
        if left.op == "age" and sign in _AGES:
            return self._t.gettext(_AGES[sign], name=self.name(str(left.value)), limit=limit)
        return self._t.gettext(_NUMBERS[sign], name=self.phrase(left), limit=limit)

    # --- of what, and by how much -------------------------------------------------------------------------------

    def phrase(self, node: Node) -> str:
        """A side of a comparison: what is measured, or the arithmetic of it."""
        if node.op == "name" and str(node.value) not in self._profile.params:
            return self.name(str(node.value))
        if node.op in GROUPED:
            return self._members(str(node.value))
        if node.op == "window":
            return self._looked(node)
        if not self._is_measured(node):
            return self.limit(node, node)
        parts = [self.phrase(arg) for arg in node.args]
        if node.op == "neg":
            return f"\N{MINUS SIGN}{parts[0]}"
        if node.op == "abs":
            return self._t.gettext(_SIZE, parts=parts[0])
        if node.op in _FUNCTIONS:
            return self._t.gettext(_FUNCTIONS[node.op], parts=self._t.gettext(", ").join(parts))
        return f" {_SIGNS.get(node.op, node.op)} ".join(parts)

    def limit(self, node: Node, beside: Node) -> str:
        """The other side: computed where it is numbers and params, in the unit and the decimals of what it meets."""
        if self._is_measured(node):
            return self.phrase(node)
        value = compiled(node)({**self._defaults(), **self._values}, lambda _name: None)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return fmt.plain(value)
        metric = self._metric(beside)
        uom = beside.type.uom or node.type.uom or ""
        return amount(float(value), uom, metric.decimals if metric is not None else 0, self._t)

    def name(self, id: str) -> str:
        """What a name of an expression is called."""
        key = id.removeprefix("parent.")
        profile = self._profile
        entry: Any = profile.metrics.get(key) or profile.states.get(key) or profile.events.get(key)
        if entry is not None:
            return str(entry.name.in_(self._t.language))
        command = profile.commands.get(key.removesuffix("_command")) if key.endswith("_command") else None
        if command is not None:
            return self._t.gettext(_COMMAND, name=command.name.in_(self._t.language))
        param = profile.params.get(key)
        return param.name.in_(self._t.language) if param is not None and param.name is not None else id

    def _word(self, subject: Node, value: object) -> str:
        """A value as its state calls it."""
        name = str(subject.value).removeprefix("parent.")
        if name == "presence":
            return self._t.gettext(words.PRESENCE[str(value)].word)
        state = self._profile.states.get(name)
        if state is not None and str(value) in state.values:
            return str(getattr(state.values[str(value)], self._t.language))
        if name.endswith("_command") and str(value) in words.COMMAND:
            return self._t.gettext(words.COMMAND[str(value)].word)
        if subject.type.kind == "number" and isinstance(value, int | float):
            metric = self._metric(subject)
            return amount(float(value), subject.type.uom or "", metric.decimals if metric else 0, self._t)
        return str(value)

    def _looked(self, node: Node) -> str:
        look = self._look(node)
        if look is None:
            return str(node.value)
        stretch = length(look.seconds, self._t)
        if look.function != "count":
            return self._t.gettext(LOOKS[look.function], name=self.name(look.name), stretch=stretch)
        what = self.name(look.name) if look.condition is None else self.clause(look.condition.root)
        return self._t.gettext(COUNT, what=what, stretch=stretch)

    def _members(self, key: str) -> str:
        found = next((one for one in (self._read.groups if self._read else ()) if one.key == key), None)
        if found is None:
            return key
        inner = Clauses(self._profile, found.kind, {}, self._t)
        kind = self._profile.children[found.kind].name.in_(self._t.language)
        return self._t.gettext(GROUPED[found.function], kind=kind, what=inner.clause(found.condition.root))

    def _look(self, node: Node) -> Any:
        found = self._read.windows if self._read is not None and node.op == "window" else ()
        return next((one for one in found if one.key == str(node.value)), None)

    # --- the values ---------------------------------------------------------------------------------------------

    def _figures(self, root: Node) -> list[str]:
        """What was measured, each with its name where there are several."""
        found = [one for one in self.measured(root) if one.text]
        return [found[0].text] if len(found) == 1 else [f"{one.name} {one.text}" for one in found]

    def measured(self, root: Node) -> Iterator[Measured]:
        """The numbers that a condition compares and that are known, each once."""
        seen: set[str] = set()
        for node in _leaves(root):
            key, value = str(node.value), self._values.get(str(node.value))
            known = isinstance(value, int | float) and not isinstance(value, bool)
            if key in seen or not known or key in self._profile.params or node.type.kind != "number":
                continue
            seen.add(key)
            metric = self._metric(node)
            assert isinstance(value, int | float)
            yield Measured(
                key, self.phrase(node), amount(value, node.type.uom or "", metric.decimals if metric else 0, self._t)
            )

    def _metric(self, node: Node) -> Metric | None:
        look = self._look(node)
        name = look.name if look is not None else str(node.value)
        if node.op in ("name", "window"):
            return self._profile.metrics.get(name.removeprefix("parent."))
        return next((found for arg in node.args if (found := self._metric(arg)) is not None), None)

    def _is_measured(self, node: Node) -> bool:
        if node.op in ("window", "age", *GROUPED):
            return True
        if node.op == "name":
            return str(node.value) not in self._profile.params
        return any(self._is_measured(arg) for arg in node.args)

    def _defaults(self) -> dict[str, Value]:
        return {name: param.default for name, param in self._profile.params.items()}


def held_part(node: Node, values: Mapping[str, Value]) -> Node:
    """A condition without those alternatives that did not hold; all of it where none is known to have held."""
    if node.op == "or":
        holding = [arg for arg in node.args if compiled(arg)(values, lambda _name: None) is True]
        kept = tuple(held_part(arg, values) for arg in holding or node.args)
        return kept[0] if len(kept) == 1 else node._replace(args=kept)
    if node.op == "and":
        return node._replace(args=tuple(held_part(arg, values) for arg in node.args))
    return node


def _leaves(node: Node) -> Iterator[Node]:
    if node.op in ("name", "window", *GROUPED):
        yield node
    for arg in node.args:
        yield from _leaves(arg)


def amount(value: float, uom: str, decimals: int, t: Translations) -> str:
    """A number with its unit: time in its largest whole unit, a share per cent, others with the metric's decimals
    unless these would say another number."""
    if uom == "s" and not decimals and value >= 1:
        return length(value, t)
    if uom == "ratio":
        value, uom = float(f"{value * 100:.10g}"), "%"
    if round(value, decimals) != float(f"{value:.6g}"):
        return fmt.with_unit(f"{value:.6g}".replace("-", "\N{MINUS SIGN}"), uom)
    return fmt.with_unit(fmt.number(value, decimals), uom)


def length(seconds: float, t: Translations) -> str:
    """A length of time, exactly: "90 s" and not "1 min"."""
    size, message = next((one for one in UNITS if seconds >= one[0] and seconds % one[0] == 0), UNITS[-1])
    return t.gettext(message, n=f"{seconds / size:g}")


def counted_sentence(values: Mapping[str, Any], profile: DeviceProfile | None, t: Translations) -> str:
    """Of a rule over several devices: how many of them met it. `profile`: that of one of them."""
    said = []
    for key in values:
        found, met = _GROUP_KEY.fullmatch(key), values.get(f"{key} met by")
        count = str(met).partition(":")[0].split("/") if found is not None and met is not None else []
        if found is not None and len(count) == 2:
            what = _asked(found[2], found[3], profile, t)
            said.append(t.gettext(_MET, met=count[0], members=count[1], what=what))
    return t.gettext(_JOINED["and"]).join(said)


def _asked(kind: str, condition: str, profile: DeviceProfile | None, t: Translations) -> str:
    """The condition on a member: in words where its profile has all its names, else as it is written."""
    if profile is None:
        return condition
    return (
        Clauses(profile, kind if kind in profile.children else None, {}, t).sentence(condition, timedelta(0))
        or condition
    )
