"""The configuration part of an archive: settings, own profiles, and secrets only where they are asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import msgspec

from services.settings import Settings

SECRET = frozenset({"influx_token", "grafana_token", "mqtt_client_id"})
"""Settings that are secrets as a whole (who knows the name of a session can take it over); of URLs the password is."""
_URLS = frozenset({"database_url", "mqtt", "smtp_url", "influx_url", "grafana_url", "services_url"})
LEFT_OUT = "(left out)"
_SECRET_IN_QUERY = re.compile(r"(?i)\b(\w*(?:password|passwd|token|secret))=[^&]*")
_LARGEST = 4 * 1024**2
_PROFILE_ENDINGS = (".yaml", ".yml", ".md", ".json", ".bin", ".hex", ".txt")


def settings_as_said(settings: Settings, *, secrets: bool) -> dict[str, object]:
    """Those that differ from their defaults, by the names of their variables."""
    said: dict[str, object] = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        if value == field.default:
            continue
        said[f"COURTYARD_{name.upper()}"] = _plain(name, value, secrets=secrets)
    return said


def _plain(name: str, value: object, *, secrets: bool) -> object:
    if not secrets and name in SECRET:
        return LEFT_OUT
    if not secrets and name in _URLS and isinstance(value, str):
        return without_password(value)
    return str(value) if isinstance(value, Path) else value


def without_password(url: str) -> str:
    """As far as it can be told apart; else nothing of it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return LEFT_OUT
    who, at, host = parts.netloc.rpartition("@")
    user, colon, _ = who.partition(":")
    if colon:
        who = f"{user}:***"
    elif who and parts.scheme in ("http", "https"):
        who = "***"  # a token alone
    query = _SECRET_IN_QUERY.sub(r"\1=***", parts.query)
    return urlunsplit(parts._replace(netloc=f"{who}{at}{host}", query=query))


def encode(said: dict[str, object]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(said), indent=1)


def profile_files(folder: Path | None) -> Iterator[tuple[str, Path]]:
    """Own profiles and what lies beside them, as (path in the folder, file). No links, nothing large."""
    if folder is None or not folder.is_dir():
        return
    yield from _files(folder, _PROFILE_ENDINGS)


def secret_files(folder: Path | None) -> Iterator[tuple[str, Path]]:
    if folder is None or not folder.is_dir():
        return
    yield from _files(folder, None)


def _files(folder: Path, endings: tuple[str, ...] | None) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_symlink() or not file.is_file() or file.stat().st_size > _LARGEST:
            continue
        if endings is None or file.suffix in endings:
            yield file.relative_to(folder).as_posix(), file
