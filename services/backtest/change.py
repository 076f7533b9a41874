"""A change to be tried, as people write it: part of a rule book, one rule's new words, or a whole profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from device_profiles.library import load_text
from device_profiles.schema import DeviceProfile
from device_profiles.yaml_lines import Document, YamlMistake, read_yaml
from services.backtest.lanes import Variant
from services.backtest.place import RuleKey
from services.rules.book import Misfit, RuleBook
from services.rules.effective import BookInForce, Effective

_HERE = "here"
_PARTS = frozenset(RuleBook.model_fields)
_EXPECTED = "rules:, params: or devices: of a rule book, or a whole profile (profile: …)"


class ChangeMistakes(ValueError):
    """Each with its file and line."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = tuple(mistakes)


def with_change(
    live: Variant, text: str, *, name: str, rule: RuleKey | None = None, devices: Mapping[str, str]
) -> Variant:
    """What is live with a change laid over it. `name` is the file's; with `rule` the text may be that rule's new words
    alone (`for: 10m`). `devices`: id -> profile of those in service. Raises ChangeMistakes, ProfileMistakes."""
    try:
        document = read_yaml(text)
    except YamlMistake as mistake:
        found = f"{name}:{mistake.line}: found {mistake.problem}, expected {mistake.expected}"
        raise ChangeMistakes([found]) from None
    if isinstance(document.data, dict) and "profile" in document.data:
        profile = load_text(text, Path(name))
        return Variant({**live.library, profile.profile: profile}, live.book)
    inside = _inside(document, rule, name)
    book = _book(document, inside, live.book, name)
    _refuse_misfits(live.library, book, devices, document, inside, name)
    return Variant(live.library, book)


def laid_over(live: RuleBook, change: Mapping[str, Any]) -> dict[str, Any]:
    """The live book's content with what the change says, key by key; what it does not name stays."""
    return _merged(live.model_dump(mode="json", by_alias=True, exclude_defaults=True), change)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        name: _merged(below[name], value)
        if isinstance(value, Mapping) and isinstance(below.get(name), Mapping)
        else value
        for name, value in above.items()
    }
    return {**below, **both}


def _inside(document: Document, rule: RuleKey | None, name: str) -> tuple[str, ...]:
    """Where the text stands in a rule book: () for a book, ("rules", profile, rule) for one rule's words."""
    data = document.data
    if not isinstance(data, dict) or not data:
        raise ChangeMistakes([f"{name}:1: found {type(data).__name__}, expected {_EXPECTED}"])
    if _PARTS.isdisjoint(data) and rule is not None:
        return ("rules", *rule)
    unknown = [key for key in data if key not in _PARTS]
    if unknown:
        lines = (document.line([key]) for key in unknown)
        found = [
            f"{name}:{line}: found {key!r}, expected {_EXPECTED}" for line, key in zip(lines, unknown, strict=True)
        ]
        raise ChangeMistakes(found)
    return ()


def _book(document: Document, inside: Sequence[str], live: RuleBook, name: str) -> RuleBook:
    content = document.data
    for key in reversed(inside):
        content = {key: content}
    try:
        RuleBook.model_validate(content)  # by itself first: the lines are of this text
        return RuleBook.model_validate(laid_over(live, content))
    except ValidationError as error:
        raise ChangeMistakes([_shape(document, inside, one, name) for one in error.errors()]) from None


def _shape(document: Document, inside: Sequence[str], error: Any, name: str) -> str:
    where = list(error["loc"])[len(inside) :]
    words = ".".join(str(part) for part in where if part != "[key]") or "the change"
    return f"{name}:{document.line(where)}: {words}: {error['msg']}"


def _refuse_misfits(
    library: Mapping[str, DeviceProfile],
    book: RuleBook,
    devices: Mapping[str, str],
    document: Document,
    inside: Sequence[str],
    name: str,
) -> None:
    """Of this text: what the live book cannot do anyway is only noted in the result."""
    effective = Effective(library, {_HERE: BookInForce(0, book)}, {})
    found = []
    for misfit in effective.misfits(_HERE, devices):
        where = _where(misfit)[len(inside) :]
        if inside or _stands(document.data, _where(misfit)):
            said = "/".join(part for part in (misfit.profile, misfit.rule or misfit.param, misfit.device) if part)
            found.append(f"{name}:{document.line(where)}: {said}: {misfit.found}")
    if found:
        raise ChangeMistakes(found)


def _where(misfit: Misfit) -> list[str]:
    kind, leaf = ("params", misfit.param) if misfit.param else ("rules", misfit.rule)
    place = ["devices", misfit.device, kind] if misfit.device else [kind, misfit.profile]
    return [*place, *([leaf] if leaf else [])]


def _stands(data: Any, where: Sequence[str]) -> bool:
    for part in where:
        if not isinstance(data, Mapping) or part not in data:
            return False
        data = data[part]
    return True
