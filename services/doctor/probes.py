"""Gathering facts: this touches the machine, the network and files, waits seconds at most, and changes nothing."""

from __future__ import annotations

import getpass
import importlib.metadata
import importlib.util
import os
import shutil
import smtplib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import httpx
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from device_profiles.schema import DeviceProfile
from gateway import ports
from gateway.damage import files_set_aside
from gateway.journal.inspect import integrity, look
from gateway.mqtt import BrokerAddress
from gateway.presence import Fault
from gateway.probe import BrokerAnswer, probe_broker
from services import migrations
from services.accounts.store import everywhere_admins
from services.clock import from_millis
from services.database import Database
from services.doctor.facts import (
    BrokerFacts,
    DatabaseFacts,
    FolderFacts,
    GatewayFacts,
    JournalFacts,
    MailFacts,
    OutboxFacts,
    PortFacts,
    RemoteFacts,
    RuleFacts,
    Urllib3Facts,
)
from services.doctor.patience import PATIENCE_SECONDS, WHOLE_SECONDS, within
from services.holding import owner_of
from services.presence.values import faults
from services.rulebook.problems import RuleProblem, benched_lately, problems_of
from services.sites.store import list_devices, list_gateways, unclaimed_devices
from services.tables import devices, notices, sites

OVERDUE = timedelta(minutes=5)


# --- this machine -------------------------------------------------------------------------------------------------


def urllib3() -> Urllib3Facts:
    found = importlib.util.find_spec("urllib3")
    folder = Path(found.origin).parent.parent if found is not None and found.origin else Path()
    hooks = sorted(folder.glob("urllib3_future*.pth")) if folder.name else []
    return Urllib3Facts(importlib.metadata.version("urllib3"), str(hooks[0]) if hooks else "")


def missing_zones(names: Iterable[str]) -> list[str]:
    missing = []
    for name in sorted(set(names)):
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            missing.append(name)
    return missing


def folder(path: Path) -> FolderFacts:
    if _is_shut(path):
        return FolderFacts(
            path=path, exists=True, is_folder=True, writable=False, free_bytes=0, user=_user(), damaged=(), is_shut=True
        )
    exists = path.exists()
    nearest = path
    while not nearest.exists():
        nearest = nearest.absolute().parent
    return FolderFacts(
        path=path,
        exists=exists,
        is_folder=path.is_dir(),
        writable=os.access(nearest, os.W_OK | os.X_OK),
        free_bytes=shutil.disk_usage(nearest).free,
        user=_user(),
        damaged=tuple(file.name for file in files_set_aside(path)),
    )


def _is_shut(path: Path) -> bool:
    """Whether this user may not even look what is in it, or whether it is there."""
    try:
        (path / "running.json").exists()
        if path.is_dir():
            next(path.iterdir(), None)
    except PermissionError:
        return True
    return False


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return str(os.getuid())


# --- the network --------------------------------------------------------------------------------------------------


def http_port(address: str) -> PortFacts:
    """`address` as the settings have checked it: HOST:PORT."""
    name, _, number = address.rpartition(":")
    host, port = name.strip("[]") or "127.0.0.1", int(number)
    try:
        if ports.is_free(host, port):
            return PortFacts(host, port, free=True)
    except OSError as refused:
        return PortFacts(host, port, mistake=str(refused))
    reached = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    answer = services(f"http://{f'[{reached}]' if ':' in reached else reached}:{port}")
    return PortFacts(host, port, holder=ports.holder(port), courtyard_version=answer.version)


def services(url: str, *, whole_seconds: float = WHOLE_SECONDS) -> RemoteFacts:
    """Whether Courtyard's services answer there."""
    return within(whole_seconds, lambda: _services(url), lambda why: RemoteFacts(url, mistake=why))


def _services(url: str) -> RemoteFacts:
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/health", timeout=PATIENCE_SECONDS, trust_env=False)
        answer.raise_for_status()
        version = str(answer.json()["version"])
    except httpx.HTTPStatusError as wrong:
        return RemoteFacts(url, mistake=f"answers {wrong.response.status_code}")
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as wrong:
        return RemoteFacts(url, mistake=str(wrong) or type(wrong).__name__)
    date = answer.headers.get("date")
    return RemoteFacts(url, version=version, now=parsedate_to_datetime(date) if date else None)


def broker(url: str, *, embedded: tuple[str, int]) -> BrokerFacts:
    """`embedded`: where the embedded broker would listen."""
    if url == "embedded":
        host, port = embedded
        where = f"{host}:{port}"
        if ports.is_free(host, port):
            return BrokerFacts(where, embedded=True, free=True)
        answer = ask_broker(BrokerAddress(host, port, tls=False, user=None, password=None))
        return BrokerFacts(where, True, holder=ports.holder(port), accepted=answer.accepted, said=answer.said)
    try:
        address = BrokerAddress.parse(url)
    except ValueError:
        return BrokerFacts("", mistake="not an MQTT address")
    answer = ask_broker(address)
    return BrokerFacts(str(address), accepted=answer.accepted, said=answer.said)


def ask_broker(address: BrokerAddress, filters: Sequence[str] = ()) -> BrokerAnswer:
    """See `probe_broker`; a handshake that drips in is given up too."""
    return within(
        WHOLE_SECONDS,
        lambda: probe_broker(address, seconds=PATIENCE_SECONDS, filters=filters),
        lambda why: BrokerAnswer(accepted=False, said=why),
    )


def mail(url: str, *, whole_seconds: float = WHOLE_SECONDS) -> MailFacts:
    if not url:
        return MailFacts("")
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
        return MailFacts("COURTYARD_SMTP_URL", "expected smtp://[user:password@]host[:port] or smtps://…")
    tls = parts.scheme == "smtps"
    port = parts.port or (465 if tls else 25)
    where = f"{parts.hostname}:{port}"
    return within(
        whole_seconds, lambda: _mail(parts, port, tls=tls, where=where), lambda why: MailFacts(where, mistake=why)
    )


def _mail(parts: SplitResult, port: int, *, tls: bool, where: str) -> MailFacts:
    assert parts.hostname is not None
    try:
        connect = smtplib.SMTP_SSL if tls else smtplib.SMTP
        with connect(parts.hostname, port, timeout=PATIENCE_SECONDS) as server:
            server.ehlo()
            if not tls and server.has_extn("starttls"):
                server.starttls()
                server.ehlo()
            if parts.username:
                server.login(unquote(parts.username), unquote(parts.password or ""))
    except (OSError, smtplib.SMTPException) as refused:
        return MailFacts(where, str(refused) or type(refused).__name__)
    return MailFacts(where)


def readable(path: Path | None) -> str:
    """Why a secret file cannot be used; "" when it can."""
    if path is None:
        return "no file is named"
    try:
        return "" if path.read_text().strip() else "the file is empty"
    except (OSError, UnicodeDecodeError) as refused:
        return str(refused)


# --- what the product keeps ---------------------------------------------------------------------------------------


def journal(path: Path, max_bytes: int, *, check_seconds: float) -> JournalFacts:
    if not path.exists():
        return JournalFacts(False, max_bytes)
    if not os.access(path, os.R_OK):
        return JournalFacts(True, max_bytes, shut=f"{path} cannot be read by this user")
    try:
        found = look(path)
        damage = integrity(path, seconds=check_seconds) if check_seconds else None
    except sqlite3.DatabaseError as error:
        return JournalFacts(True, max_bytes, damage=str(error))
    return JournalFacts(
        True,
        max_bytes,
        bytes=found.bytes,
        waiting=found.waiting,
        quarantine_entries=found.quarantine_entries,
        shed=found.shed,
        newest_at=from_millis(found.newest_at) if found.newest_at else None,
        damage="" if damage in (None, "ok") else str(damage),
    )


def database(
    database: Database, library: Mapping[str, DeviceProfile], now: datetime, *, check_seconds: float
) -> DatabaseFacts:
    kind = "SQLite" if database.is_sqlite else "PostgreSQL"
    file = Path(database.url.removeprefix("sqlite:///"))
    if database.is_sqlite:
        if not file.exists():
            return DatabaseFacts(kind, exists=False)
        damage = _sqlite_damage(file, check_seconds)
        if damage:
            return DatabaseFacts(kind, damage=damage)
    try:
        database.start()
        revision, newest = migrations.current(database), migrations.newest()
        if revision != newest:
            return DatabaseFacts(kind, revision=revision, newest_revision=newest)
        holder = owner_of(database)
        with database.read() as connection:
            return replace(_inside(connection, kind, str(revision), library, now), holder=holder)
    except SQLAlchemyError as refused:
        return DatabaseFacts(kind, unreachable=str(getattr(refused, "orig", None) or refused).strip().splitlines()[0])
    finally:
        database.close()


def rules(connection: Connection, library: Mapping[str, DeviceProfile], now: datetime) -> RuleFacts:
    found = problems_of(connection, library, None, benched_lately(connection, now))
    hard = [one for one in found if one.is_hard]
    return RuleFacts(
        problems=tuple(f"{one.site} {_place(one)}: {one.found}" for one in hard),
        never_sent=len({(one.site, one.profile, one.rule) for one in found if not one.is_hard}),
        sites=tuple(dict.fromkeys(one.site for one in (hard or found))),
    )


def _place(one: RuleProblem) -> str:
    rule = f"{one.profile}/{one.rule}" if one.rule else one.profile
    return f"{rule} ({one.device})" if one.device and rule else one.device or rule or "rule book"


def _sqlite_damage(file: Path, check_seconds: float) -> str:
    try:
        found = integrity(file, seconds=check_seconds) if check_seconds else None
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if found in (None, "ok") else str(found)


def _inside(
    connection: Connection, kind: str, revision: str, library: Mapping[str, DeviceProfile], now: datetime
) -> DatabaseFacts:
    used = (
        connection.execute(select(devices.c.profile).where(devices.c.site.is_not(None), devices.c.retired_at.is_(None)))
        .scalars()
        .all()
    )
    zones = connection.execute(select(sites.c.timezone)).scalars().all()
    faults = _value_faults(connection, library, now)
    return DatabaseFacts(
        kind,
        revision=revision,
        newest_revision=revision,
        admins=len(everywhere_admins(connection)),
        sites=len(zones),
        devices=len(used),
        zones=tuple(zones),
        unknown_profiles=tuple(sorted(set(used) - set(library))),
        unclaimed=tuple(f"{one.address} ({one.profile})" for one in unclaimed_devices(connection)),
        silent_values=tuple(where for where, fault in faults if fault is Fault.METRIC_SILENT),
        faulty_values=tuple(where for where, fault in faults if fault is Fault.SENSOR_FAULTY),
        gateways=_gateways(connection),
        outbox=_outbox(connection, now),
        now=None if kind == "SQLite" else connection.execute(text("SELECT now()")).scalar_one().astimezone(UTC),
    )


def _value_faults(
    connection: Connection, library: Mapping[str, DeviceProfile], now: datetime
) -> list[tuple[str, Fault]]:
    gateways = {row.id: row for row in list_gateways(connection)}
    found: list[tuple[str, Fault]] = []
    for device in list_devices(connection, None, presence="online", limit=10_000):
        if device.site is not None:
            gateway = gateways.get(device.latest.gateway or "")
            for child, one in faults(device, library.get(device.profile), now, gateway):
                found.append((f"{device.id}{f' {child}' if child else ''}: {one.metric}", one.fault))
    return found


def _gateways(connection: Connection) -> tuple[GatewayFacts, ...]:
    return tuple(
        GatewayFacts(
            id=row.id,
            progress_at=row.progress_at,
            connected=bool(row.status.get("connected", True)),
            last_error=str(row.status.get("last_error", "")),
            messages_per_second=float(row.status.get("messages_per_second", 0)),
        )
        for row in list_gateways(connection)
    )


def _outbox(connection: Connection, now: datetime) -> OutboxFacts:
    counts = {
        state: int(number)
        for state, number in connection.execute(select(notices.c.state, func.count()).group_by(notices.c.state))
    }
    overdue = connection.execute(
        select(func.count()).where(notices.c.state == "queued", notices.c.next_attempt_at < now - OVERDUE)
    ).scalar_one()
    last = connection.execute(
        select(notices.c.last_error).where(notices.c.state == "failed").order_by(notices.c.created_at.desc()).limit(1)
    ).scalar()
    return OutboxFacts(
        queued=counts.get("queued", 0),
        delivered=counts.get("delivered", 0),
        failed=counts.get("failed", 0),
        overdue=int(overdue),
        last_error=str(last or ""),
    )
