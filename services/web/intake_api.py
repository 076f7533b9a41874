"""Where gateways elsewhere deliver their readings. Only for tokens of the role gateway."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from gateway.reading import Batch, Registry
from gateway.uplink import CommandOrder, CommandOutcome
from services.changes import Change
from services.clock import to_millis
from services.commands.api import desk_of
from services.commands.desk import LONGEST_WAIT_SECONDS
from services.context import Context
from services.web.problems import Problem
from services.web.security import ContextOf, Gateway, Principal

router = APIRouter(prefix="/intake", tags=["intake"])

BATCH_CAP = 16 * 1024 * 1024
"""Bytes of one batch: some hundred readings of some kilobytes each."""

T = TypeVar("T")


class Committed(BaseModel):
    """How far this gateway's readings are safe here."""

    cursor: int = Field(description="Last journal sequence committed; 0 when none.", examples=[48213])


@router.post(
    "",
    summary="Deliver a batch of readings",
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "gateway.reading.Batch as JSON; readings are arrays in the order of its fields.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
)
async def deliver(request: Request, context: ContextOf, principal: Gateway) -> Committed:
    """One transaction: readings and everything that follows from them. Delivering a batch again changes nothing."""
    batch = _decoded(await request.body(), Batch)
    _check_name(principal, batch.gateway)
    return Committed(cursor=await run_in_threadpool(_take, context, principal, batch))


@router.get("/cursor", summary="How far readings have been committed")
def cursor(
    context: ContextOf, principal: Gateway, gateway: Annotated[str, Query(min_length=1, max_length=64)]
) -> Committed:
    """Where a gateway goes on after a break."""
    _check_name(principal, gateway)
    return Committed(cursor=context.intake.cursor(gateway))


@router.get("/registry", summary="The devices this gateway serves")
def registry(context: ContextOf, principal: Gateway) -> Response:
    """Id, profile, address and parameters of each device; nothing about residents."""
    found = context.intake.registry()
    if principal.scope is not None:
        devices = [device for device in found.devices if device.site in principal.scope]
        found = Registry(version=found.version, devices=devices)
    return Response(msgspec.json.encode(found), media_type="application/json")


@router.get("/orders", summary="Commands that this gateway should send")
async def orders(
    request: Request,
    context: ContextOf,
    principal: Gateway,
    gateway: Annotated[str, Query(min_length=1, max_length=64)],
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="Seconds to wait for the first one.")] = 0,
) -> Response:
    """Each is handed over once, and again where nothing is reported of it. With `wait` 0: all that wait, at once."""
    _check_name(principal, gateway)
    found = await _orders(request, context, principal, gateway, wait)
    body = {"now": to_millis(context.clock.now()), "orders": found}
    return Response(msgspec.json.encode(body), media_type="application/json")


@router.post(
    "/outcomes",
    summary="Say what became of commands",
    openapi_extra={
        "requestBody": {
            "required": True,
            "description": "A list of gateway.uplink.CommandOutcome as JSON.",
            "content": {"application/json": {"schema": {"type": "array", "items": {"type": "object"}}}},
        }
    },
)
async def outcomes(
    request: Request,
    context: ContextOf,
    principal: Gateway,
    gateway: Annotated[str, Query(min_length=1, max_length=64)],
) -> Response:
    """Saying it again changes nothing."""
    _check_name(principal, gateway)
    said = _decoded(await request.body(), list[CommandOutcome])
    await run_in_threadpool(desk_of(context).report, gateway, said)
    return Response(b"{}", media_type="application/json")


_LOOK_SECONDS = 0.5
"""Well within the grace that requests under way are given when the pages stop."""


async def _orders(
    request: Request, context: Context, principal: Principal, gateway: str, wait: float
) -> list[CommandOrder]:
    """Waiting holds no thread: only the looks do."""
    desk, until = desk_of(context), time.monotonic() + wait
    async with aclosing(context.changes.subscribe()) as changes:
        following: asyncio.Future[Any] = asyncio.ensure_future(anext(changes))
        try:
            again = wait <= 0
            while True:
                found = await run_in_threadpool(desk.hand_over, gateway, principal.scope, again=again)
                left = until - time.monotonic()
                if found or left <= 0 or getattr(request.app.state, "stopping", False):
                    return found
                following = await _next_command(changes, following, min(left, _LOOK_SECONDS))
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


async def _next_command(
    changes: AsyncGenerator[list[Change] | None, None], following: asyncio.Future[Any], seconds: float
) -> asyncio.Future[Any]:
    """Wait until some command has changed, or so long; what to follow from there on."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        done, _ = await asyncio.wait({following}, timeout=left)
        if not done:
            break
        batch = following.result()
        following = asyncio.ensure_future(anext(changes))
        if batch is None or any(change.kind == "command" for change in batch):
            break
    return following


def _decoded(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        detail = f"The body is no batch: {str(error)[:200]}"
        raise Problem(422, "not-valid", detail, "Use the same version of Courtyard on both sides.") from error


def _check_name(principal: Principal, gateway: str) -> None:
    """One gateway's token must not move another's cursor."""
    if principal.name != gateway:
        detail = f"This token is for the gateway {principal.name!r}, not {gateway[:64]!r}."
        next_step = f"Set COURTYARD_GATEWAY_ID={principal.name}, or `courtyard token create {gateway[:64]}`."
        raise Problem(403, "other-gateway", detail, next_step)


def _take(context: Context, principal: Principal, batch: Batch) -> int:
    # Under the ids of the site files first: what a reading calls its device must not decide whose device it is.
    batch = msgspec.structs.replace(batch, readings=context.intake.as_claimed(batch.readings))
    if principal.scope is not None:
        _check_sites(context, principal.scope, batch)
    # Stored first, unless the gateway itself writes to InfluxDB: a reading written twice changes nothing, while one
    # that is committed below and not stored would be missing for good.
    if not (batch.stored and context.settings.influx_url):
        context.telemetry.write(batch.readings)
    return context.intake.take(batch)


def _check_sites(context: Context, scope: Collection[str], batch: Batch) -> None:
    site_of = {device.id: device.site for device in context.intake.registry().devices}
    for device in sorted({reading.device for reading in batch.readings} & site_of.keys()):
        if site_of[device] not in scope:
            detail = f"This token does not cover the site of {device!r}."
            raise Problem(403, "other-site", detail, "Give this gateway a token for all the sites it serves.")
