"""A draft of a profile as plain parts, before it is written as YAML."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from services.authoring import hints, ids, values
from services.authoring.capture import Message
from services.authoring.discovery import Announced
from services.authoring.values import Guess, Told

_RESERVED = ids.words("and or not in true false parent min max abs age rate delta mean count changed presence silence")


@dataclass
class FieldDraft:
    path: str
    entry: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class MetricDraft:
    zh: str
    en: str
    uom: str = ""
    scope: str | None = None
    kind: str = "gauge"
    range: tuple[float, float] | None = None
    period: str = ""
    decimals: int | None = None
    notes: list[str] = field(default_factory=list)
    largest: float | None = None
    """The largest value seen, in the metric's unit."""


@dataclass
class StateDraft:
    zh: str
    en: str
    scope: str | None = None
    words: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def _in_order(words: dict[str, str]) -> dict[str, str]:
    """Codes by their number, and any other word last."""
    numbers = [raw for raw in words.values() if raw.removeprefix("-").isdecimal()]
    counted = len(numbers) >= len(words) - 1
    kept = [word for word in words if word != "other"]
    order = sorted(kept, key=lambda word: int(words[word])) if counted and set(words) - set(kept) else kept
    return {word: words[word] for word in [*order, *(word for word in words if word == "other")]}


@dataclass
class EachDraft:
    child: str
    key: str
    over: str | None = None
    elements: str = ""
    fields: dict[str, FieldDraft] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass
class EventDraft:
    event: str
    when: dict[str, Any] | None = None
    fields: dict[str, str] = field(default_factory=dict)


@dataclass
class BindingDraft:
    id: str
    topic: str
    steps: list[dict[str, Any]] = field(default_factory=list)
    when: list[dict[str, Any]] = field(default_factory=list)
    address: str | None = None
    split: dict[str, Any] | None = None
    time: dict[str, Any] | None = None
    mode: str = ""
    presence: dict[str, str] = field(default_factory=dict)
    presence_path: str = ""
    says: str = ""
    keepalive: bool = False
    fields: dict[str, FieldDraft] = field(default_factory=dict)
    each: list[EachDraft] = field(default_factory=list)
    events: list[EventDraft] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def says_something(self) -> bool:
        return bool(self.fields or self.each or self.presence or self.events or self.keepalive or self.says)


@dataclass
class SampleDraft:
    name: str
    topic: str
    text: str | None
    hex: str | None
    retained: bool
    expect: list[dict[str, Any]]
    before: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Sheet:
    """The whole draft. `left_out` says what the capture holds and the draft does not."""

    profile: str
    family: str
    zh: str
    en: str
    vendor: str = ""
    source: str = ""
    discovery: bool = True
    children: dict[str, tuple[str, str]] = field(default_factory=dict)
    metrics: dict[str, MetricDraft] = field(default_factory=dict)
    states: dict[str, StateDraft] = field(default_factory=dict)
    events: dict[str, tuple[str, str]] = field(default_factory=dict)
    availability: dict[str, Any] = field(default_factory=lambda: {"period": "5m"})
    availability_notes: list[str] = field(default_factory=list)
    bindings: list[BindingDraft] = field(default_factory=list)
    samples: list[SampleDraft] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    misfits: set[Message] = field(default_factory=set)
    """Messages that no binding was drafted for; `left_out` says so."""
    announced: Announced = field(default_factory=Announced)

    def leave_out(self, what: str) -> None:
        if what not in self.left_out:
            self.left_out.append(what)

    def child(self, kind: str) -> str:
        kind = ids.identifier(kind, "part")
        self.children.setdefault(kind, hints.part_name(kind))
        return kind

    def event(self, raw: str) -> str:
        name = self._free(values.word_of(raw), lambda other: other in self.events, ())
        plain = raw.replace("_", " ")
        self.events.setdefault(name, (plain, plain[:1].upper() + plain[1:]))
        return name

    def metric(self, path: list[str], found: Guess, scope: str | None, told: Told | None, taken: Any) -> str:
        """The metric of this name, unit and scope; a new one where there is none, or where `taken` has it already."""
        quantity = found.quantity
        key = path[-1] if path else (quantity.name if quantity else "value")
        zh, en = hints.name_of(key, path[:-1], quantity)
        if (parent := hints.parent_that_says(path)) is not None and quantity is not None:
            own = " ".join(hints.tokens(key))
            zh, en = f"{quantity.zh} {own}", f"{quantity.en} {own}"
            key = f"{parent}_{key}"
        if told is not None and told.name:
            zh, en = told.name, told.name
        draft = MetricDraft(zh, en, found.uom, scope, found.kind, notes=list(found.notes))
        if quantity is not None:
            draft.range = quantity.range if found.uom == quantity.uom else None
            draft.decimals = quantity.decimals if found.uom == quantity.uom else None
        if found.whole and draft.decimals is None:
            draft.decimals = 0
        name = self._free(
            self._name(key, quantity.name if quantity else ""),
            lambda other: other in taken or not self._same_metric(other, draft),
            path,
        )
        known = self.metrics.setdefault(name, draft)
        if found.largest is not None:
            known.largest = max(found.largest, found.largest if known.largest is None else known.largest)
        if known is draft and not draft.notes and told is None and not draft.uom:
            draft.notes.append("no unit")
        return name

    def tell_apart(self) -> None:
        """Metrics of one name and scope get their ids beside it: nobody could tell three voltages from each other."""
        many = Counter((metric.scope, metric.zh, metric.en) for metric in self.metrics.values())
        for name, metric in self.metrics.items():
            if many[metric.scope, metric.zh, metric.en] > 1:
                metric.zh, metric.en = f"{metric.zh}（{name}）", f"{metric.en} ({name})"

    def _same_metric(self, name: str, draft: MetricDraft) -> bool:
        if name in self.states:
            return False
        known = self.metrics.get(name)
        return known is None or (known.scope, known.uom, known.kind) == (draft.scope, draft.uom, draft.kind)

    def state(self, path: list[str], found: Guess, scope: str | None, told: Told | None, taken: Any) -> str:
        """The state of this name and scope; its words grow with what further bindings bring."""
        key = path[-1] if path else "state"
        zh, en = hints.name_of(key, path[:-1], None)
        if told is not None and told.name:
            zh, en = told.name, told.name

        def elsewhere(other: str) -> bool:
            known = self.states.get(other)
            return other in taken or other in self.metrics or (known is not None and known.scope != scope)

        name = self._free(self._name(key, ""), elsewhere, path)
        known = self.states.setdefault(name, StateDraft(zh, en, scope, notes=list(found.notes)))
        known.words = _in_order({**found.words, **known.words})
        return name

    @staticmethod
    def _name(key: str, fallback: str) -> str:
        name = ids.identifier(key, fallback or "value")
        if len(name) <= 2 and fallback:
            return fallback
        return name

    @staticmethod
    def _free(name: str, in_use: Any, path: Any) -> str:
        """A name that is not taken: with its parents' words before it, and a number at last."""
        if name in _RESERVED:
            name = f"{name}_value"
        tried = name
        for parent in reversed(list(path)[:-1]):
            if not in_use(tried):
                return tried
            tried = ids.identifier(f"{parent}_{tried}")
        number = 2
        base = tried[:44]
        while in_use(tried):
            tried, number = f"{base}_{number}", number + 1
        return tried
