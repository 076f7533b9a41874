"""The one composition root: the command line and the tests build the product here, and nowhere else.

Every `start_…` pushes its own end onto the given stack, so that closing the stack stops everything in reverse order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from threading import Event
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import DatabaseError, OperationalError

from device_profiles.schema import DeviceProfile
from gateway.damage import set_aside
from gateway.service import Gateway
from gateway.telemetry import TelemetryStore
from gateway.telemetry.spool import FILE as SPOOL_FILE
from gateway.telemetry.spool import SpooledTelemetry
from gateway.telemetry.sqlite import SqliteTelemetry
from services import folder, migrations
from services.adoption import history
from services.backtest.jobs import Jobs
from services.changes import Changes
from services.clock import Clock, to_millis
from services.commands.desk import Bell, CommandDesk
from services.context import Context
from services.database import Database
from services.gateway_node import make_gateway, start_metrics, watch_gateway, watch_telemetry
from services.holding import Hold, hold
from services.influx import make_influx
from services.intake import Intake
from services.metrics import Metrics, parts
from services.metrics.calm import of_decisions
from services.metrics.rules import of_rules
from services.metrics.state import of_state
from services.notices.digests import Digests
from services.notices.outbox import Outbox
from services.profiles import load_library
from services.retention import retention_chores
from services.rollup import rollup_chores
from services.settings import Settings
from services.sites.known import KnownDevices
from services.ticker import Chore, Ticker
from services.uplink import InProcessCommands, InProcessUplink
from services.web.app import create_app
from services.web.server import Server

if TYPE_CHECKING:
    from services.grafana.annotate import Annotator

log = structlog.get_logger("courtyard.bootstrap")


@dataclass(frozen=True)
class Core:
    """What gateway and web are built around."""

    settings: Settings
    clock: Clock
    library: Mapping[str, DeviceProfile]
    database: Database
    telemetry: TelemetryStore
    changes: Changes
    intake: Intake
    metrics: Metrics
    hold: Hold
    """Of the database: after `stopping` was set, `check` says whether that was since another took it."""

    @property
    def context(self) -> Context:
        return Context(
            settings=self.settings,
            database=self.database,
            library=self.library,
            telemetry=self.telemetry,
            changes=self.changes,
            clock=self.clock,
            intake=self.intake,
            metrics=self.metrics,
        )


def open_database(stack: ExitStack, settings: Settings) -> Database:
    """The database, migrated to this version's tables."""
    folder.make(settings.data_dir)
    database = Database(settings.effective_database_url)
    database.start()
    stack.callback(database.close)
    try:
        migrations.upgrade(database)
    except DatabaseError as error:
        if not database.is_sqlite or isinstance(error, OperationalError):
            raise
        raise folder.Damaged(settings.data_dir / "courtyard.db", str(error.orig)) from error
    return database


def open_telemetry(
    stack: ExitStack, settings: Settings, clock: Clock, library: Mapping[str, DeviceProfile], database: Database
) -> TelemetryStore:
    """The time series, as settings say. InfluxDB may be away: what is written waits on disk."""
    if not settings.influx_url:
        return _open_embedded(stack, settings)
    influx = make_influx(settings, clock, library, KnownDevices(database).registry)
    influx.start()
    spool = SpooledTelemetry(influx, settings.data_dir / SPOOL_FILE, max_bytes=settings.journal_max_bytes)
    spool.start()
    stack.callback(spool.close)
    return spool


def _open_embedded(stack: ExitStack, settings: Settings) -> SqliteTelemetry:
    """A damaged file is moved aside: it is missed, but must keep no alarm from being raised."""
    path = settings.data_dir / "telemetry.db"
    telemetry = SqliteTelemetry(path)
    try:
        telemetry.start()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        aside = set_aside(path)
        log.error("telemetry_set_aside", damaged_file=str(aside), problem=str(error))
        telemetry = SqliteTelemetry(path)
        telemetry.start()
    stack.callback(telemetry.close)
    return telemetry


def hold_database(stack: ExitStack, settings: Settings, clock: Clock, stopping: Event | None = None) -> Hold:
    """The database is this process's, before anything is migrated or read. Raises DatabaseInUse."""
    folder.make(settings.data_dir)
    url, wait_seconds = settings.effective_database_url, settings.database_wait
    return hold(stack, url, clock.now(), wait_seconds=wait_seconds, stopping=stopping)


def start_core(stack: ExitStack, settings: Settings, clock: Clock, stopping: Event | None = None) -> Core:
    """Database, telemetry and the intake with its state; time does not pass yet.

    `stopping` is set where the database is lost to another Courtyard. Raises DatabaseInUse where one holds it.
    """
    library = load_library(settings)
    held = hold_database(stack, settings, clock, stopping)
    database = open_database(stack, settings)
    telemetry = open_telemetry(stack, settings, clock, library, database)
    changes = Changes()
    intake = Intake(
        database,
        library,
        clock,
        changes,
        public_url=settings.effective_public_url,
        commands_enabled=settings.commands == "on",
        gateway_silent_after=settings.gateway_silent_after,
        break_alarm_after=settings.break_alarm_after,
    )
    intake.start()
    held.watch(stack, intake.reload)
    metrics = start_metrics(stack, settings, clock)
    metrics.watch("intake", parts.of_intake(intake))
    watch_telemetry(stack, metrics, telemetry, clock)
    metrics.watch("state", of_state(database, clock))
    metrics.watch("rules", of_rules(database, library, intake))
    metrics.watch("decisions", of_decisions(intake))
    return Core(settings, clock, library, database, telemetry, changes, intake, metrics, held)


def start_gateway(stack: ExitStack, core: Core, mqtt_url: str) -> Gateway:
    """A gateway in this process."""
    uplink = InProcessUplink(core.intake)
    desk = CommandDesk(database=core.database, intake=core.intake, clock=core.clock)
    orders = InProcessCommands(desk, Bell(core.changes))
    # Short waits: what it waits on is closed soon after the gateway has been told to stop.
    gateway = make_gateway(
        core.settings,
        core.clock,
        core.library,
        uplink,
        # A gateway has a journal of its own: its readings need not go through that of services.
        core.telemetry.store if isinstance(core.telemetry, SpooledTelemetry) else core.telemetry,
        mqtt_url,
        commands=orders,
        command_wait_seconds=1.0,
    )
    gateway.start()
    stack.callback(gateway.stop)
    watch_gateway(stack, core.metrics, gateway, core.clock)
    return gateway


def start_clockwork(stack: ExitStack, core: Core) -> Ticker:
    """Time begins to pass: rules' delays and silence each second, retention each hour."""

    digests = Digests(core.database, public_url=core.settings.effective_public_url)
    ticker = Ticker(
        core.clock,
        [
            Chore("tick", timedelta(seconds=1), core.intake.tick),
            Chore("digests", timedelta(minutes=1), digests.tick),
            Chore("unclaimed devices", timedelta(hours=1), core.intake.forget_unclaimed),
            *retention_chores(core.database, core.settings),
        ],
    )
    ticker.start()
    stack.callback(ticker.stop)
    core.metrics.watch("chores", parts.of_ticker(ticker))
    _start_telemetry_chores(stack, core)
    return ticker


def _start_telemetry_chores(stack: ExitStack, core: Core) -> None:
    """On a thread of their own: a time series may be slow, or hang, and alarms must not wait for it."""

    def carry_history(now: datetime) -> None:
        history.carry(core.database, core.telemetry, now)

    chores = [Chore("history of adopted devices", timedelta(seconds=15), carry_history)]
    if isinstance(core.telemetry, SqliteTelemetry):
        chores += _embedded_chores(core.settings, core.telemetry)
    if isinstance(core.telemetry, SpooledTelemetry):
        chores += rollup_chores(stack, core.settings, core.library, core.telemetry.store)
    ticker = Ticker(core.clock, chores)
    ticker.start()
    # What waits for an InfluxDB that hangs may be left anywhere and is done again; a file is closed in good order.
    stack.callback(ticker.stop, 5 if isinstance(core.telemetry, SqliteTelemetry) else 1)
    core.metrics.watch("telemetry chores", parts.of_ticker(ticker))


def _embedded_chores(settings: Settings, store: SqliteTelemetry) -> list[Chore]:
    """InfluxDB keeps its own retention; the embedded store has to be told."""

    def expire(now: datetime) -> None:
        gone = store.expire(to_millis(now - timedelta(days=settings.telemetry_days)))
        if gone:
            log.info("telemetry_expired", readings=gone)

    def make_room(_: datetime) -> None:
        gone = store.shrink(settings.telemetry_max_bytes) if settings.telemetry_max_bytes else 0
        if gone:
            log.warning("telemetry_given_up", readings=gone, max_bytes=settings.telemetry_max_bytes)

    return [
        Chore("telemetry retention", timedelta(hours=1), expire),
        Chore("telemetry cap", timedelta(minutes=5), make_room),
    ]


def start_outbox(stack: ExitStack, core: Core) -> Outbox:
    outbox = Outbox(core.context)
    outbox.start()
    stack.callback(outbox.stop)
    core.metrics.watch("outbox", parts.of_outbox(outbox))
    return outbox


def start_annotations(stack: ExitStack, core: Core) -> Annotator | None:
    """Episodes on Grafana's time line, where a Grafana is given. Nothing of ours waits for it."""
    if not (core.settings.grafana_url and core.settings.grafana_token):
        return None
    # Imported here: Grafana's client takes most of a second, and few installations have one.
    from services.grafana.annotate import annotator

    keeper = annotator(core.settings, core.database, core.clock)
    keeper.start()
    stack.callback(keeper.stop)
    return keeper


def start_web(stack: ExitStack, core: Core, gateway: Gateway | None) -> Server:
    """Pages and API. Raises AddressTaken when the address is in use."""
    jobs = Jobs(stalled_after=timedelta(seconds=core.settings.backtest_stalled_after))
    context = replace(core.context, gateway=gateway, jobs=jobs)
    stack.callback(jobs.close)
    core.metrics.watch("backtests", parts.of_backtests(jobs))
    server = Server(create_app(context), *core.settings.http_address)
    server.start()
    stack.callback(server.stop)
    return server
