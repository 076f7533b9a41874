"""Commands as the device page shows them: the forms, and how the latest ones fared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from device_profiles.schema import Command, DeviceProfile, Param
from gateway.reading import child_kind
from services.accounts.policy import Role
from services.commands.api import forms_of
from services.commands.asking import LONGEST_TEXT, CommandRefused
from services.commands.store import CommandRecord
from services.context import Context
from services.sites.store import Device
from services.web.i18n import Translations
from services.web.pages import format as fmt
from services.web.pages import words
from services.web.pages.words import Mark
from services.web.security import Principal
from services.web.views.devices import child_label


@dataclass(frozen=True)
class Mistake:
    """What was wrong with a form: at which field ("" is the whole form), in the reader's words; and what was typed."""

    command: str
    field: str
    text: str
    given: Mapping[str, str]


@dataclass(frozen=True)
class Field:
    """One input of a form."""

    name: str
    label: str
    type: str
    value: str
    uom: str
    hint: str
    low: float | None
    high: float | None
    mistake: str = ""


@dataclass(frozen=True)
class Form:
    command: str
    name: str
    children: tuple[tuple[str, str], ...]
    """(id, label) of the parts it can go to."""
    child: str
    fields: tuple[Field, ...]
    confirm: str
    expires: timedelta
    mistake: str = ""
    child_mistake: str = ""
    confirm_mistake: str = ""

    @property
    def is_open(self) -> bool:
        return bool(self.mistake or self.child_mistake or self.confirm_mistake or any(f.mistake for f in self.fields))


@dataclass(frozen=True)
class Sent:
    """One command that was asked for."""

    id: str
    title: str
    mark: Mark
    why: str
    who: str
    """Login; "" for a rule."""
    alarm: str | None
    asked_at: datetime
    can_cancel: bool
    params: tuple[str, ...] = field(default=())


def forms(
    context: Context,
    principal: Principal,
    device: Device,
    profile: DeviceProfile | None,
    child: str,
    t: Translations,
    mistake: Mistake | None,
) -> list[Form]:
    """Those that this person may send; `child` is the part that is looked at."""
    if profile is None or context.settings.commands != "on":
        return []
    return [
        _form(
            profile,
            one.command,
            one.children,
            child,
            t,
            mistake if mistake and mistake.command == one.command else None,
        )
        for one in forms_of(context, principal, device)
        if one.may_send and (one.children or profile.commands[one.command].scope is None)
    ]


def _form(
    profile: DeviceProfile, name: str, children: list[str], child: str, t: Translations, mistake: Mistake | None
) -> Form:
    command = profile.commands[name]
    given: Mapping[str, str] = mistake.given if mistake else {}
    wrong = {mistake.field: mistake.text} if mistake else {}
    kind = profile.children.get(command.scope or "")
    return Form(
        command=name,
        name=command.name.in_(t.language),
        children=tuple((one, child_label(kind, one, t.language)) for one in children),
        child=given.get("child", child),
        fields=tuple(_field(key, param, given, wrong, t) for key, param in command.params.items()),
        confirm=command.confirm.in_(t.language) if command.confirm else "",
        expires=command.expires,
        mistake=wrong.get("", ""),
        child_mistake=wrong.get("child", ""),
        confirm_mistake=wrong.get("confirmed", ""),
    )


def _field(name: str, param: Param, given: Mapping[str, str], wrong: Mapping[str, str], t: Translations) -> Field:
    default = "yes" if param.default is True else "no" if param.default is False else fmt.plain(param.default)
    return Field(
        name=name,
        label=param.name.in_(t.language) if param.name else name,
        type=param.type,
        value=given.get(name, default),
        uom=param.uom,
        hint=_range_hint(param, t),
        low=param.min,
        high=param.max,
        mistake=wrong.get(name, ""),
    )


def _range_hint(param: Param, t: Translations) -> str:
    if param.type not in ("number", "integer") or (param.min is None and param.max is None):
        return ""
    if param.min is not None and param.max is not None:
        return t.gettext("%(low)s to %(high)s", low=f"{param.min:g}", high=fmt.with_unit(f"{param.max:g}", param.uom))
    if param.min is not None:
        return t.gettext("at least %(low)s", low=fmt.with_unit(f"{param.min:g}", param.uom))
    return t.gettext("at most %(high)s", high=fmt.with_unit(f"{param.max:g}", param.uom))


def mistake_of(
    refused: CommandRefused, command: Command | None, name: str, given: Mapping[str, str], t: Translations
) -> Mistake:
    """A refusal, said beside the field it is about."""
    param = command.params.get(refused.field) if command is not None else None
    if refused.code != "not_valid":
        return Mistake(name, "", t.gettext(words.COMMAND_REFUSED[refused.code]), given)
    if refused.field == "child":
        return Mistake(name, "child", t.gettext("Choose one of the parts."), given)
    if param is None:
        return Mistake(name, "", str(refused), given)
    return Mistake(name, refused.field, _expected(param, t), given)


def _expected(param: Param, t: Translations) -> str:
    if param.type == "boolean":
        return t.gettext("Choose yes or no.")
    if param.type == "text":
        return t.gettext("Write at most %(n)s characters on one line.", n=LONGEST_TEXT)
    hint = _range_hint(param, t)
    if param.type == "integer":
        return t.gettext("Enter a whole number: %(range)s.", range=hint) if hint else t.gettext("Enter a whole number.")
    return t.gettext("Enter a number: %(range)s.", range=hint) if hint else t.gettext("Enter a number.")


def sent(
    records: Iterable[CommandRecord], profile: DeviceProfile | None, principal: Principal, t: Translations
) -> list[Sent]:
    """The latest commands, newest first."""
    return [_sent(record, profile, principal, t) for record in records]


def _sent(record: CommandRecord, profile: DeviceProfile | None, principal: Principal, t: Translations) -> Sent:
    command = profile.commands.get(record.command) if profile else None
    name = command.name.in_(t.language) if command else record.command
    if record.child:
        kind = profile.children.get(child_kind(record.child)) if profile else None
        name = f"{name} · {child_label(kind, record.child, t.language)}"
    may = command is not None and principal.may(Role(command.role), record.site)
    return Sent(
        id=record.id,
        title=name,
        mark=words.COMMAND[record.state],
        why=_why(record, profile, t),
        who=record.by or "",
        alarm=record.alarm,
        asked_at=record.asked_at,
        can_cancel=record.is_cancellable and may,
        params=tuple(_params(record, command, t)),
    )


def _params(record: CommandRecord, command: Command | None, t: Translations) -> Iterable[str]:
    """What was said with it, where it differs from what is usual."""
    for name, param in (command.params if command else {}).items():
        value = record.params.get(name)
        if value is not None and value != param.default:
            label = param.name.in_(t.language) if param.name else name
            yield f"{label} {fmt.with_unit(fmt.plain(value), param.uom)}"


def _why(record: CommandRecord, profile: DeviceProfile | None, t: Translations) -> str:
    """Where it stands, in a sentence; with what the device said and what telemetry shows."""
    key = record.reason or record.state
    said = [t.gettext(words.COMMAND_WHY.get(key, key))]
    result = record.detail.get("result")
    if result and record.state in ("failed", "acknowledged"):
        said.append(t.gettext("The device said: %(result)s.", result=_result(profile, record.command, str(result), t)))
    if record.reason in ("no_effect", "no_answer") or record.reason == "effect_seen":
        seen = record.detail.get("seen") or {}
        said.append(_seen(seen, profile, t) if seen else "")
        if not seen and record.reason == "no_effect":
            said.append(t.gettext("Nothing has been measured since."))
    if record.reason in ("not_sayable", "too_late", "broker_refused", "unheard"):
        said.append(str(record.detail.get("why", "")))
    if unheard := record.detail.get("unheard"):
        said.append(t.gettext("The broker says that nobody listens on its topic: %(topic)s", topic=unheard))
    return " ".join(part for part in said if part)


def _result(profile: DeviceProfile | None, command: str, result: str, t: Translations) -> str:
    for binding in profile.bindings if profile else ():
        reply = binding.reply
        if reply is not None and command in (reply.command, *reply.also) and result in reply.reasons:
            return reply.reasons[result].in_(t.language)
    return result


def _seen(seen: Mapping[str, object], profile: DeviceProfile | None, t: Translations) -> str:
    parts = []
    for name, value in seen.items():
        entry = (profile.metrics.get(name) or profile.states.get(name)) if profile else None
        label = entry.name.in_(t.language) if entry else name
        parts.append(f"{label} {_value(name, value, profile, t)}")
    return t.gettext("Measured since: %(values)s.", values=t.gettext(", ").join(parts))


def _value(name: str, value: object, profile: DeviceProfile | None, t: Translations) -> str:
    state = profile.states.get(name) if profile else None
    if state is not None and str(value) in state.values:
        return str(getattr(state.values[str(value)], t.language))
    metric = profile.metrics.get(name) if profile else None
    if metric is not None and isinstance(value, int | float) and not isinstance(value, bool):
        return fmt.with_unit(fmt.number(float(value), metric.decimals), metric.uom)
    return str(value)
