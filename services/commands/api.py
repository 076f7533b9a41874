"""Commands: what a device can be told, telling it, and how it fared."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from pydantic import BaseModel, Field

from device_profiles.schema import Command, DeviceProfile, Param, Text
from gateway.reading import Value
from services.accounts.policy import Role
from services.commands import store
from services.commands.asking import CommandRefused, children_for
from services.commands.desk import CommandDesk, with_key
from services.commands.dispatch import Asked
from services.commands.lifecycle import NotCancellable, State
from services.commands.store import CommandRecord
from services.context import Context
from services.sites.store import Device, get_device
from services.web.pagination import Cursor, Limit, Page, page_of
from services.web.problems import Problem, not_found
from services.web.security import ContextOf, Crew, Principal

router = APIRouter(tags=["commands"])

Id = Annotated[str | None, Query(max_length=200)]
_STATUS = {
    "unknown": 404,
    "not_valid": 422,
    "unclaimed": 409,
    "outstanding": 409,
    "overruled": 409,
    "switched_off": 409,
    "no_gateway": 409,
}


class ParamForm(BaseModel):
    """What must be said with a command, and within which range."""

    name: str
    label: Text
    type: str = Field(examples=["integer"])
    default: float | int | str | bool
    uom: str
    min: float | None
    max: float | None


class CommandForm(BaseModel):
    """One command that a device has."""

    command: str = Field(examples=["stop_charging"])
    name: Text
    children: list[str] = Field(description="The parts it can go to; empty: it is for the whole device.")
    params: list[ParamForm]
    role: str = Field(description="The least role that may send it.", examples=["engineer"])
    may_send: bool = Field(description="Whether you may.")
    confirm: Text | None = Field(description="The question to ask before.")
    expires_seconds: float = Field(description="It is not sent later than this after it was asked for.")
    effect: str | None = Field(description="What telemetry must show afterwards, in the grammar of rules.")


class DeviceCommands(BaseModel):
    device: str
    presence: str = Field(description="A device that is not online gets a command only if it comes back in time.")
    enabled: bool = Field(description="False while COURTYARD_COMMANDS is off.")
    commands: list[CommandForm]


class Ask(BaseModel):
    """What a device should do."""

    command: str = Field(min_length=1, max_length=64, examples=["stop_charging"])
    child: str = Field("", max_length=64, examples=["port:3"])
    params: dict[str, float | int | str | bool] = Field({}, max_length=50)


@router.get("/devices/{device}/commands", summary="What a device can be told to do")
def device_commands(context: ContextOf, principal: Crew, device: str) -> DeviceCommands:
    found = _device(context, principal, device)
    return DeviceCommands(
        device=found.id,
        presence=found.latest.presence,
        enabled=context.settings.commands == "on",
        commands=forms_of(context, principal, found),
    )


@router.post("/devices/{device}/commands", status_code=201, summary="Tell a device to do something")
def ask(
    context: ContextOf,
    principal: Crew,
    device: str,
    wanted: Ask,
    key: Annotated[
        str | None,
        Header(alias="Idempotency-Key", max_length=100, description="The same key again gives the same command."),
    ] = None,
) -> CommandRecord:
    """It is queued for the device's gateway; follow it by its id. A command that is under way is not asked twice."""
    found = _device(context, principal, device)
    asked = Asked(device=found.id, child=wanted.child, command=wanted.command, params=wanted.params, by=principal.login)
    check_role(context, principal, found, wanted.command)
    try:
        return desk_of(context).ask(with_key(asked, principal.login, key))
    except CommandRefused as refused:
        raise problem_of(refused) from refused


@router.get("/commands", summary="Commands, newest first")
def list_commands(
    context: ContextOf,
    principal: Crew,
    site: Id = None,
    device: Id = None,
    state: Annotated[list[State] | None, Query(max_length=10)] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[CommandRecord]:
    """Without their histories."""
    with context.database.read() as connection:
        found = store.list_commands(
            connection,
            principal.scope,
            site=site,
            device=device,
            state=[one.value for one in state or ()],
            limit=limit + 1,
            before=cursor,
        )
    return page_of(found, limit, lambda command: command.id)


@router.get("/commands/{command}", summary="One command with its history")
def get_command(context: ContextOf, principal: Crew, command: str) -> CommandRecord:
    return desk_of(context).get(principal.scope, command)


@router.post("/commands/{command}/cancel", summary="Take a command back that no gateway has fetched yet")
def cancel(context: ContextOf, principal: Crew, command: str) -> CommandRecord:
    desk = desk_of(context)
    found = desk.get(principal.scope, command)
    check_role(context, principal, _device(context, principal, found.device), found.command)
    try:
        return desk.cancel(principal.scope, command, by=principal.login)
    except (NotCancellable, KeyError) as error:
        detail = str(error) if isinstance(error, NotCancellable) else "This command is over."
        raise Problem(409, "conflict", detail, "Load it again and see what came of it.") from error


# --- shared with the pages --------------------------------------------------------------------------------------------


def desk_of(context: Context) -> CommandDesk:
    return CommandDesk(database=context.database, intake=context.intake, clock=context.clock)


def forms_of(context: Context, principal: Principal, device: Device) -> list[CommandForm]:
    """The commands of a device; none while it is unclaimed."""
    profile = context.library.get(device.profile)
    if profile is None or device.site is None or device.retired_at is not None:
        return []
    return [_form(profile, name, command, device, principal) for name, command in profile.commands.items()]


def check_role(context: Context, principal: Principal, device: Device, command: str) -> None:
    """Raises Problem where this person may not send it at the device's site."""
    profile = context.library.get(device.profile)
    declared = profile.commands.get(command) if profile is not None else None
    if declared is None or device.site is None:
        return  # refused in a moment, with what there is instead
    if not principal.may(Role(declared.role), device.site):
        detail = f"The command {command} needs the role {declared.role} at this site."
        raise Problem(403, "forbidden", detail, "Ask somebody who has it, or an admin for the role.")


def problem_of(refused: CommandRefused) -> Problem:
    steps = {
        "unknown": "GET /api/v1/devices/{device}/commands says what there is.",
        "not_valid": "Mend the value; GET /api/v1/devices/{device}/commands says what is expected.",
        "unclaimed": "Adopt the device into a site first.",
        "outstanding": "Look at the command that is under way.",
        "overruled": "See to the alarm first; ask again when what it ordered has ended.",
        "switched_off": "Set COURTYARD_COMMANDS=on and start services again.",
        "no_gateway": "Wait until a message of the device has arrived.",
    }
    return Problem(_STATUS[refused.code], refused.code.replace("_", "-"), f"{refused}.", steps[refused.code])


def _device(context: Context, principal: Principal, device: str) -> Device:
    with context.database.read() as connection:
        found = get_device(connection, principal.scope, device)
    if found is None:
        raise not_found("device", device)
    return found


def _form(profile: DeviceProfile, name: str, command: Command, device: Device, principal: Principal) -> CommandForm:
    heard: dict[str, Any] = {latest.child: latest for latest in device.children}
    params: dict[str, Value] = dict(device.params)
    return CommandForm(
        command=name,
        name=command.name,
        children=[] if command.scope is None else list(children_for(profile, command.scope, params, heard)),
        params=[_param(key, param) for key, param in command.params.items()],
        role=command.role,
        may_send=device.site is not None and principal.may(Role(command.role), device.site),
        confirm=command.confirm,
        expires_seconds=command.expires.total_seconds(),
        effect=command.effect.when if command.effect else None,
    )


def _param(name: str, param: Param) -> ParamForm:
    return ParamForm(
        name=name,
        label=param.name or Text(zh=name, en=name),
        type=param.type,
        default=param.default,
        uom=param.uom,
        min=param.min,
        max=param.max,
    )
