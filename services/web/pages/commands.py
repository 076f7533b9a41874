"""Telling a device what to do, from its page."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from services.commands.api import check_role, desk_of
from services.commands.asking import CommandRefused
from services.commands.desk import with_key
from services.commands.dispatch import Asked
from services.commands.lifecycle import NotCancellable
from services.context import Context
from services.web.i18n import N_
from services.web.pages import devices
from services.web.pages.render import reader_of
from services.web.security import ContextOf, Crew, Principal
from services.web.views.commands import Mistake, mistake_of

router = APIRouter(include_in_schema=False)
CONFIRM_FIRST = N_("Confirm that you mean it.")
_PARAM = "param."


@router.post("/devices/{device}/commands")
async def ask(request: Request, context: ContextOf, principal: Crew, device: str) -> Response:
    """Back to the page, which shows how it fares; where something is wrong, the form again with a word beside it."""
    form = await request.form()
    return await run_in_threadpool(_ask, request, context, principal, device, form)


@router.post("/devices/{device}/commands/{command}/cancel")
def cancel(
    context: ContextOf,
    principal: Crew,
    device: str,
    command: str,
    child: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    desk = desk_of(context)
    found = desk.get(principal.scope, command)
    check_role(context, principal, devices.find(context, principal, found.device), found.command)
    with suppress(NotCancellable, KeyError):  # somebody was faster, and the page shows what came of it
        desk.cancel(principal.scope, command, by=principal.login)
    return _back(device, child)


def _ask(request: Request, context: Context, principal: Principal, device: str, form: FormData) -> Response:
    found = devices.find(context, principal, device)
    given = {key: str(value)[:500] for key, value in form.items() if isinstance(value, str)}
    name, child = given.get("command", ""), given.get("child", "")
    typed = {key.removeprefix(_PARAM): value for key, value in given.items() if key.startswith(_PARAM)}
    check_role(context, principal, found, name)
    profile = context.library.get(found.profile)
    command = profile.commands.get(name) if profile is not None else None
    reader = reader_of(request, principal)
    mistake: Mistake | None = None
    if command is not None and command.confirm is not None and given.get("confirmed") != "yes":
        mistake = Mistake(name, "confirmed", reader.t.gettext(CONFIRM_FIRST), {**typed, "child": child})
    else:
        asked = Asked(device=found.id, child=child, command=name, params=typed, by=principal.login)
        try:
            desk_of(context).ask(with_key(asked, principal.login, given.get("key", "")[:64]))
        except CommandRefused as refused:
            mistake = mistake_of(refused, command, name, {**typed, "child": child}, reader.t)
    if mistake is None:
        return _back(found.id, given.get("shown", ""))
    return devices.show(request, context, principal, found.id, child=given.get("shown", ""), mistake=mistake)


def _back(device: str, child: str) -> Response:
    query = f"?child={child}" if child.isascii() and child.replace(":", "").replace("_", "").isalnum() else ""
    return RedirectResponse(f"/devices/{device}{query}#commands", status_code=303)
