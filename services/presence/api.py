"""Where the break is, by the API."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from device_profiles.schema import Text
from services.context import Context
from services.presence.forgetting import forgetting_of
from services.sites import store
from services.web.i18n import Translations
from services.web.pages.render import translations
from services.web.problems import not_found
from services.web.security import ContextOf, Crew, GlobalAdmin
from services.web.views import breaks as view

router = APIRouter(tags=["presence"])
_LANGUAGES: tuple[Literal["en", "zh"], ...] = ("en", "zh")


class LinkState(BaseModel):
    link: str = Field(description="gateway, broker, parent, device or values.", examples=["gateway"])
    name: str
    state: str = Field(description="ok, late, broken, or hidden behind a broken link.", examples=["broken"])
    said: Text = Field(description="Why, with how long.")


class MissingValue(BaseModel):
    child: str
    metric: str
    fault: str = Field(description="metric_silent or sensor_faulty.")
    missing_for_seconds: float | None


class DevicePresence(BaseModel):
    """Whether a device is there, and where the way to it is broken."""

    device: str
    presence: str
    reason: str = Field(description="The first broken link, or the sign of life.", examples=["uplink_cut"])
    since: datetime | None
    sentence: Text
    chain: list[LinkState]
    broken: str | None = Field(description="The first broken link.")
    values: list[MissingValue]


class BreakState(BaseModel):
    """One broken link, and what lies behind it."""

    site: str
    reason: str
    name: Text
    said: Text
    since: datetime | None
    devices: int = Field(description="How many devices cannot be seen because of it.")
    alarm: str | None


@router.get("/devices/{device}/presence", summary="Whether a device is there, and where the break is")
def device_presence(context: ContextOf, principal: Crew, device: str) -> DevicePresence:
    """Gateway, broker, what it hangs on, the device, its values: link by link."""
    now = context.clock.now()
    with context.database.read() as connection:
        found = store.get_device(connection, principal.scope, device)
        if found is None:
            raise not_found("device", device)
        seen = view.seen_of(connection, found, context.library, store.list_gateways(connection))
    zh, en = (view.chain_of(seen, t, now, _silent_after(context)) for t in (_t("zh"), _t("en")))
    links = [
        LinkState(link=one.key, name=one.name, state=one.state, said=Text(zh=other.said, en=one.said))
        for one, other in zip(en.links, zh.links, strict=True)
    ]
    missing = [
        MissingValue(
            child=child,
            metric=one.metric,
            fault=one.fault.value,
            missing_for_seconds=None if one.missing_for is None else one.missing_for / 1000,
        )
        for child, one in view.faults(found, seen.profile, now, seen.gateway)
    ]
    return DevicePresence(
        device=found.id,
        presence=found.latest.presence,
        reason=found.latest.reason,
        since=found.latest.since,
        sentence=Text(zh=zh.sentence, en=en.sentence),
        chain=links,
        broken=en.broken.key if en.broken else None,
        values=missing,
    )


@router.delete("/gateways/{gateway}", status_code=204, summary="Forget a gateway that was taken down for good")
def forget_gateway(context: ContextOf, principal: GlobalAdmin, gateway: str) -> Response:
    """Nothing is judged by it any more, and its alarm ends. Its data stay; should it speak again, it is there
    again. Refused while it speaks."""
    forgetting_of(context).forget(gateway, who=principal.login, now=context.clock.now())
    return Response(status_code=204)


@router.get("/breaks", summary="Broken links now, and how many devices lie behind each")
def list_breaks(
    context: ContextOf, principal: Crew, site: Annotated[str | None, Query(max_length=64)] = None
) -> list[BreakState]:
    now = context.clock.now()
    with context.database.read() as connection:
        gateways = store.list_gateways(connection)
        sites = [one.id for one in store.list_sites(connection, principal.scope) if site in (None, one.id)]
        english, chinese = (
            [(one, told) for one in sites for told in view.breaks_of(connection, one, _t(language), now, gateways)]
            for language in _LANGUAGES
        )
    return [_told(site, one, other) for (site, one), (_, other) in zip(english, chinese, strict=True)]


def _told(site: str, english: view.Break, chinese: view.Break) -> BreakState:
    return BreakState(
        site=site,
        reason=english.key,
        name=Text(zh=chinese.name, en=english.name),
        said=Text(zh=chinese.said, en=english.said),
        since=english.since,
        devices=english.devices,
        alarm=english.alarm,
    )


def _t(language: Literal["zh", "en"]) -> Translations:
    return translations()[language]


def _silent_after(context: Context) -> timedelta:
    return timedelta(seconds=context.settings.gateway_silent_after)
