"""What is wrong with the form of a backtest, each beside the field that it is about. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.rulebook.edit import PARAM
from services.web.i18n import Translations
from services.web.views.mistake_words import mistake_said

_FIELDS = frozenset({"from", "to", "rule", "when", "for", "clear_when", "clear_for", "severity", "params"})
_ABOUT = {"choose the rule ": "rule", "found a change of ": "change", "change:": "change"}
"""How sentences begin that name no field, and the field that they are about."""


def placed(said: str, of_fields: Mapping[str, str], t: Translations) -> dict[str, str]:
    """Field -> what is wrong with it, in the reader's language; "" of the whole. `said` is why the form was refused,
    line by line; `of_fields` is what the rule's own form says of the same words, which names more of them."""
    if said and of_fields:
        lines = [_own(field, text, t) for field, text in of_fields.items()]
    else:
        lines = [(field, mistake_said(text, t)) for field, text in map(_field_of, said.splitlines())]
    found: dict[str, str] = {}
    for field, text in lines:
        found[field] = f"{found[field]}\n{text}" if field in found else text
    return found


def _own(field: str, text: str, t: Translations) -> tuple[str, str]:
    if field.startswith(PARAM):
        return "params", f"{field.removeprefix(PARAM)}: {mistake_said(text, t)}"
    return field if field in _FIELDS else "", mistake_said(text, t)


def _field_of(line: str) -> tuple[str, str]:
    field, colon, text = line.partition(": ")
    if colon and field in _FIELDS - {"params"}:
        return field, text
    about = next((name for begins, name in _ABOUT.items() if line.startswith(begins)), "")
    return ("params" if line.startswith("params: ") else about), line
