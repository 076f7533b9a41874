"""What the commands about rules look at: one site, its rules and its rule book, without services that run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from device_profiles.mistakes import nearest
from services.cli.installed import open_installed, the_site
from services.cli.shared import errors, settings_with
from services.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from device_profiles.schema import DeviceProfile
    from services.backtest import Report
    from services.database import Database
    from services.rulebook.explain import RuleNow
    from services.rulebook.rules import SiteRule, SiteRules
    from services.rulebook.several import CountNow, SeveralRule
    from services.rules.book import RuleBook
    from services.rules.book_store import Version
    from services.settings import Settings

BY = "courtyard"
"""Whom the audit log names: who can write to the database needs no account."""


@dataclass(frozen=True)
class _Sources:
    database: Database
    library: Mapping[str, DeviceProfile]
    telemetry: Any


class Yard:
    """One site, with what its rules need."""

    def __init__(self, settings: Settings, database: Database, library: Mapping[str, DeviceProfile], site: str) -> None:
        from services.rulebook.desk import RuleBookDesk

        self.settings = settings
        self.database = database
        self.library = library
        self.now = SystemClock().now()
        self.site, self.zone = the_site(database, site)
        self.desk = RuleBookDesk(database=database, library=library)
        self.newest = self.desk.newest(None, self.site)
        self.version = self.newest.version

    def rules(self) -> SiteRules:
        from services.rulebook.problems import benched_lately
        from services.rulebook.rules import rules_of

        with self.database.read() as connection:
            benched = benched_lately(connection, self.now)
            return rules_of(connection, self.library, self.site, self.now, benched)

    def several(self, name: str) -> list[SeveralRule]:
        """The rules over several devices of this name; none where it names a rule of a profile."""
        return [one for one in self.rules().several if one.id == name]

    def counted(self, rule: SeveralRule) -> list[CountNow]:
        from services.rulebook.several import counted_now

        with self.database.read() as connection:
            return counted_now(connection, self.library, rule, self.now)

    def rule(self, name: str, device: str) -> SiteRule:
        from services.rulebook.rules import rule_at

        found = self.rules()
        profile, _, id = name.partition("/")
        rule = next((one for one in found.rules if (one.profile, one.rule) == (profile, id)), None)
        if rule is None:
            raise ValueError(_no_such_rule(name, [one.id for one in found.rules]))
        return rule_at(found, rule, device, self._own(device, rule.profile)) if device else rule

    def book_at(self, version: int) -> Version:
        if version > self.version:
            raise ValueError(
                f"found version {version}, expected 0 to {self.version}; `courtyard rules versions` lists them"
            )
        return self.desk.version(None, self.site, version)

    def explained(self, rule: SiteRule, device: str) -> list[RuleNow]:
        from services.rulebook.explain import explain
        from services.rules.in_force import effective_rules
        from services.scope import NotFound

        with self.database.read() as connection:
            effective = effective_rules(connection, self.library)
            here = [device] if device else self._of_profile(rule.profile)
            found = []
            for one in here:
                try:
                    now = explain(connection, effective, None, one, rule.rule, self.now)
                except NotFound:
                    continue  # it is off there
                found += [each for each in now if device or each.phase != "idle" or each.unknown]
        return found

    def edited(self, name: str, device: str, said: dict[str, str]) -> RuleBook:
        """The book with the change; raises ValueError with every mistake."""
        from services.rulebook.edit import Target, edited, standing, without
        from services.rulebook.rules import read_rule
        from services.rules import book_store
        from services.rules.effective import BookInForce, Effective

        rule = self.rule(name, device)
        with self.database.read() as connection:
            params = book_store.site_params(connection)
        target = Target(rule.profile, rule.rule, device)
        left = without(self.newest.book, target, tuple(one.name for one in rule.params if one.editable))
        effective = Effective(self.library, {self.site: BookInForce(self.version, left)}, params)
        own = self._own(device, rule.profile) if device else {}
        otherwise = read_rule(effective, self.site, rule.profile, rule.rule, device, own)
        fields = standing(rule)
        unknown = [name for name in said if name not in fields]
        if unknown:
            known = ", ".join(name.removeprefix("param.") for name in fields if name.startswith("param.")) or "none"
            raise ValueError(f"--param {unknown[0].removeprefix('param.')}: expected a threshold of this rule: {known}")
        found = edited(self.newest.book, target, self.library[rule.profile], {**fields, **said}, otherwise)
        if found.mistakes:
            raise ValueError("\n".join(_mistake(name, text, said) for name, text in found.mistakes.items()))
        if book_store.content_of(found.book) == book_store.content_of(self.newest.book):
            raise ValueError("nothing would change: the rule says this already")
        self.desk.check(None, self.site, self.version, found.book)
        return found.book

    def tried(self, book: RuleBook, days: int, *, quiet: bool) -> Report:
        """What the change would have done in the last days."""
        from services.backtest import preview
        from services.backtest.history import history_of

        with ExitStack() as stack:
            try:
                store = history_of(self.settings).open(stack)
            except ValueError as error:
                raise ValueError(f"{error}; to ship it untried: --without-preview REASON") from error
            bar = stack.enter_context(_bar(quiet=quiet))
            task = bar.add_task(f"trying it on the last {days} days", total=1.0)
            return preview(
                _Sources(self.database, self.library, store),
                self.site,
                self.newest.book,
                book,
                self.now - timedelta(days=days),
                self.now,
                lambda told: bar.update(task, completed=told.share),
            )

    def ship(self, book: RuleBook, note: str, report: Report | None, untried: str, days: int) -> int:
        from services.ids import new_id
        from services.rulebook.desk import Shipping
        from services.rulebook.previews import Preview
        from services.rules import book_store

        tried = None
        if report is not None:
            tried = Preview(
                id=new_id(self.now),
                site=self.site,
                began_with=self.version,
                content=book_store.content_of(book),
                start=self.now - timedelta(days=days),
                end=self.now,
                by=BY,
                asked_at=self.now,
                state="done",
                report=report,
            )
        shipping = Shipping(began_with=self.version, book=book, note=note, preview=tried, without_preview=untried)
        return self.desk.ship(None, self.site, shipping, by=BY, now=SystemClock().now()).version

    def _own(self, device: str, profile: str) -> dict[str, Any]:
        from sqlalchemy import select

        from services.tables import devices

        query = select(devices.c.params).where(
            devices.c.id == device, devices.c.site == self.site, devices.c.profile == profile,
            devices.c.retired_at.is_(None),
        )  # fmt: skip
        with self.database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            known = ", ".join(self._of_profile(profile)[:8])
            raise ValueError(f"--device: found {device!r}, expected one of {profile} at {self.site}: {known}")
        return dict(row.params)

    def _of_profile(self, profile: str) -> list[str]:
        from sqlalchemy import select

        from services.tables import devices

        query = select(devices.c.id).where(
            devices.c.site == self.site, devices.c.profile == profile, devices.c.retired_at.is_(None)
        )
        with self.database.read() as connection:
            return list(connection.scalars(query.order_by(devices.c.id)))


@contextmanager
def yard_of(data: Path | None, site: str) -> Iterator[Yard]:
    from services.profiles import load_library
    from services.rulebook.desk import BookMistakes, PreviewNeeded
    from services.rules.book_store import BookMoved
    from services.scope import NotFound

    settings = settings_with(data_dir=data)
    with ExitStack() as stack:
        database = open_installed(stack, settings)
        try:
            yield Yard(settings, database, load_library(settings), site)
        except (BookMoved, BookMistakes, PreviewNeeded, NotFound) as error:
            raise ValueError(str(error)) from error


def _no_such_rule(name: str, known: list[str]) -> str:
    """With what was probably meant: nearly the same words, or the same rule of a profile that was left out."""
    from services.rules.effective import SITE_RULES

    if name.startswith(f"{SITE_RULES}/"):
        return (
            f"{name} is over several devices and stands in the site file: read and change it there (`courtyard site "
            f"export`); `courtyard backtest --rule {name}` says what it did"
        )
    same = [one for one in known if one.partition("/")[2] == name]
    meant = f" (did you mean {' or '.join(same)}?)" if same else nearest(name, known, most=3)
    more = meant or f"; `courtyard rules list` says all {len(known)}"
    return f"found {name!r}, expected PROFILE/RULE that runs here{more}"


def _bar(*, quiet: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=errors, transient=True,
        disable=quiet,
    )  # fmt: skip


def _mistake(field: str, text: str, said: dict[str, str]) -> str:
    found = "" if "found" in text or field not in said else f"found {said[field]!r}, "
    return f"{_option(field)}: {found}{text}"


def _option(field: str) -> str:
    """The option that gave a field: --clear-when, --param low."""
    return f"--param {field.removeprefix('param.')}" if field.startswith("param.") else f"--{field.replace('_', '-')}"
