"""What `courtyard grafana` says: steps with their differences, for people and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from services.cli.console import Console

if TYPE_CHECKING:
    from dashboards.capabilities import Capabilities
    from dashboards.plan import Step
    from dashboards.sync import Failed

out = Console()
_COLOURS = {"create": "green", "change": "yellow", "remove": "red", "leave": "magenta"}
_SHOWN_DIFFERENCES = 8


def show(abilities: Capabilities, steps: list[Step], failed: list[Failed], *, done: bool) -> None:
    out.print(f"[bold]{abilities}[/bold]", highlight=False)
    for note in abilities.cannot:
        out.print(f"  {escape(note)}", highlight=False, soft_wrap=True)
    for step in steps:
        if step.do != "keep":
            _show_step(step)
    for one in failed:
        out.print(f"  [bold red]failed[/bold red] {one.step.kind} {escape(one.step.title)}: {escape(str(one.refused))}")
        if one.held_up:
            kinds = Counter(step.kind for step in one.held_up)
            counted = ", ".join(f"{number} {kind}{'s' * (number > 1)}" for kind, number in kinds.items())
            out.print(f"         not tried, because they belong into it: {counted}", highlight=False)
    out.print(_summary(steps, failed, done=done), highlight=False, soft_wrap=True)


def _show_step(step: Step) -> None:
    colour = _COLOURS[step.do]
    why = f" ({escape(step.why)})" if step.why else ""
    out.print(
        f"  [{colour}]{step.do:<6}[/] {step.kind:<10} {escape(step.title)} [dim]{step.uid}[/dim]{why}",
        highlight=False,
        soft_wrap=True,
    )
    for one in step.differences[:_SHOWN_DIFFERENCES]:
        there, wanted = _brief(one.there), _brief(one.wanted)
        out.print(f"           {escape(f'{one.where}: {there} → {wanted}')}", highlight=False, soft_wrap=True)
    if len(step.differences) > _SHOWN_DIFFERENCES:
        out.print(f"           and {len(step.differences) - _SHOWN_DIFFERENCES} more; --json has all", highlight=False)


def _brief(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def _summary(steps: list[Step], failed: list[Failed], *, done: bool) -> str:
    from dashboards.plan import Do, count

    found = count(steps)
    to_do = {Do.CREATE: "created", Do.CHANGE: "changed", Do.REMOVE: "removed"}
    parts = [f"{found[do]} {'' if done else 'to be '}{word}" for do, word in to_do.items() if found[do]]
    left = f", {found[Do.LEAVE]} left alone" if found[Do.LEAVE] else ""
    if not parts:
        return f"Nothing to do: {found[Do.KEEP]} are as they should be{left}."
    wrong = f", {sum(1 + len(one.held_up) for one in failed)} of these failed" if failed else ""
    return f"{', '.join(parts)}{wrong}; {found[Do.KEEP]} are as they should be{left}."


def in_json(abilities: Capabilities, steps: list[Step], failed: list[Failed], **more: Any) -> str:
    refused = {(one.step.kind, one.step.uid): str(one.refused) for one in failed}
    for one in failed:
        why = f"not tried: the folder {one.step.title} could not be made"
        refused |= {(step.kind, step.uid): why for step in one.held_up}
    content = {
        "grafana": str(abilities),
        "cannot": list(abilities.cannot),
        "steps": [
            {
                "do": step.do,
                "kind": step.kind,
                "uid": step.uid,
                "title": step.title,
                "why": step.why,
                "failed": refused.get((step.kind, step.uid)),
                "differences": [
                    {"where": one.where, "there": one.there, "wanted": one.wanted} for one in step.differences
                ],
            }
            for step in steps
        ],
    }
    return json.dumps({**content, **more}, ensure_ascii=False, indent=1)
