"""What alarms mean for residents: outages begin, get worse or better, and end. It collects rows and writes none."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from device_profiles.schema import ResidentWording, Text
from services.ids import new_id
from services.intake.memory import Library, Memory, OngoingOutage, SiteState
from services.intake.work import Work
from services.notices import plan
from services.notices.wording import outage_restored, outage_what
from services.outages.impact import Impact, Loss, SupplyShape, assess
from services.outages.lifecycle import Turn, turn

_NEXT_NEWS = timedelta(hours=2)


@dataclass(kw_only=True)
class Outages:
    """For one batch or tick."""

    memory: Memory
    work: Work
    library: Library
    public_url: str

    def reassess(self, site: SiteState, device: str, *, at: datetime, wording: ResidentWording | None) -> None:
        """What the supplies that hang on a device are left with now."""
        for supply in site.supplies_of.get(device, ()):
            self._assess(site, supply, at=at, wording=wording)

    def reassess_all(self, at: datetime) -> None:
        """After the site file, the profiles or the alarms changed under us."""
        for site in self.memory.sites.values():
            for supply in {**site.supplies, **site.outages}:
                self._assess(site, supply, at=at, wording=None)

    def _assess(self, site: SiteState, supply: str, *, at: datetime, wording: ResidentWording | None) -> None:
        shape, ongoing = site.supplies.get(supply), site.outages.get(supply)
        impact = assess(shape, site.impairments_of(shape)) if shape is not None else NOTHING_LEFT
        turned = turn(ongoing.loss if ongoing else Loss.NONE, impact.loss)
        if turned is Turn.STARTED and shape is not None:
            self._start(site, shape, impact, at)
        elif turned is Turn.RESTORED and ongoing is not None:
            self._restore(site, ongoing, at, wording)
        elif turned in (Turn.WORSE, Turn.BETTER) and ongoing is not None and shape is not None:
            self._turn(site, ongoing, shape, impact, at, turned)
        elif turned is Turn.UNCHANGED and ongoing is not None:
            self._recause(site, ongoing, impact)

    def _start(self, site: SiteState, shape: SupplyShape, impact: Impact, at: datetime) -> None:
        words = self._words(shape, impact)
        outage = OngoingOutage(
            id=new_id(self.work.now),
            supply=shape.id,
            service=shape.service,
            loss=impact.loss,
            alarms=tuple(cause.alarm for cause in impact.causes),
            started_at=at,
        )
        site.outages[shape.id] = outage
        self.work.new_outages[outage.id] = {
            "id": outage.id,
            "site": site.id,
            "supply": shape.id,
            "service": shape.service,
            "state": "ongoing",
            "loss": impact.loss.value,
            "alarms": list(outage.alarms),
            "impact": {
                "buildings": list(shape.served.buildings),
                "units": list(shape.served.units),
                "households": shape.served.households,
            },
            **words.columns(),
            "started_at": at,
            "restored_at": None,
            "next_news_at": self.work.now + words.next_news,
        }
        self._tell(site, outage, Turn.STARTED, at, words, shape)

    def _turn(
        self, site: SiteState, outage: OngoingOutage, shape: SupplyShape, impact: Impact, at: datetime, turned: Turn
    ) -> None:
        words = self._words(shape, impact)
        outage.loss = impact.loss
        outage.alarms = tuple(cause.alarm for cause in impact.causes)
        self._change(
            outage,
            loss=impact.loss.value,
            alarms=list(outage.alarms),
            next_news_at=self.work.now + words.next_news,
            **words.columns(),
        )
        self._tell(site, outage, turned, at, words, shape)

    def _restore(self, site: SiteState, outage: OngoingOutage, at: datetime, wording: ResidentWording | None) -> None:
        fits = wording is not None and wording.service == outage.service and wording.restored is not None
        text = (
            wording.restored if fits and wording is not None and wording.restored else outage_restored(outage.service)
        )
        at = max(at, outage.started_at)
        del site.outages[outage.supply]
        self._change(outage, state="restored", restored_at=at, alarms=[], next_news_at=None)
        words = Words(what=text, instead=Text(zh="", en=""), next_news=timedelta(0))
        self._tell(site, outage, Turn.RESTORED, at, words, site.supplies.get(outage.supply))

    def _recause(self, site: SiteState, outage: OngoingOutage, impact: Impact) -> None:
        causes = tuple(cause.alarm for cause in impact.causes)
        if causes != outage.alarms:
            outage.alarms = causes
            self._change(outage, alarms=list(causes))
            self.work.change("outage", outage.id, site.id)

    def _change(self, outage: OngoingOutage, **columns: Any) -> None:
        rows = self.work.new_outages if outage.id in self.work.new_outages else self.work.changed_outages
        rows.setdefault(outage.id, {"id": outage.id}).update(columns)

    def _words(self, shape: SupplyShape, impact: Impact) -> Words:
        """The profile's words where they say what is really lost, otherwise the plain ones of the service."""
        for cause in impact.causes:
            profile, group = self.library.get(cause.profile), self.memory.groups.get(cause.device, cause.wording)
            wording = profile.residents.get(cause.wording) if profile is not None else None
            wording = group.rule.compiled.wording if group is not None else wording
            if wording is not None and wording.loss == impact.loss:
                nothing = Text(zh="", en="")
                return Words(what=wording.what, instead=wording.instead or nothing, next_news=wording.next_news)
        return Words(what=outage_what(shape.service, impact.loss), instead=Text(zh="", en=""), next_news=_NEXT_NEWS)

    def _tell(
        self,
        site: SiteState,
        outage: OngoingOutage,
        turned: Turn,
        at: datetime,
        words: Words,
        shape: SupplyShape | None,
    ) -> None:
        work, over = self.work, turned is Turn.RESTORED
        update = {
            "id": new_id(work.now),
            "outage": outage.id,
            "at": at,
            "kind": turned.value,
            "loss": Loss.NONE.value if over else outage.loss.value,
            "text_zh": words.what.zh,
            "text_en": words.what.en,
            "who": None,
        }
        work.outage_updates.append(update)
        work.change("outage", outage.id, site.id)
        event = plan.OutageEvent(
            id=outage.id,
            update=str(update["id"]),
            event=turned.value,
            at=at,
            service=outage.service,
            loss=outage.loss.value,
            what=words.what,
            instead=words.instead,
            buildings=shape.served.buildings if shape else (),
            units=shape.served.units if shape else (),
            households=shape.served.households if shape else 0,
            started_at=outage.started_at,
            next_news_at=None if over else work.now + words.next_news,
        )
        work.notices += plan.for_outage(event, site.audience, public_url=self.public_url)


@dataclass(frozen=True, kw_only=True)
class Words:
    what: Text
    instead: Text
    next_news: timedelta

    def columns(self) -> dict[str, str]:
        return {
            "what_zh": self.what.zh,
            "what_en": self.what.en,
            "instead_zh": self.instead.zh,
            "instead_en": self.instead.en,
        }


NOTHING_LEFT = Impact(loss=Loss.NONE, causes=(), working=0, members=0)
"""Of a supply that is gone from the site file."""
