"""The devices a gateway serves: fetched on a thread of its own, and kept on disk for when services cannot be asked.

Asking services can take half a minute on a poor uplink. The ingest thread must not wait that long: a broker keeps
some thousand messages for it and drops the rest.
"""

from __future__ import annotations

from pathlib import Path
from threading import Event, Thread

import msgspec
import structlog

from gateway.reading import Registry
from gateway.uplink import Uplink, UplinkRejected, UplinkUnavailable

log = structlog.get_logger("courtyard.registry")

_ASK_SECONDS = 10.0


class RegistryWatch:
    """`latest` is the newest list known; any thread may look at it."""

    def __init__(self, uplink: Uplink, file: Path, *, ask_seconds: float = _ASK_SECONDS) -> None:
        self.latest = Registry(version="", devices=[])
        self.failures = 0
        """How often services could not be asked for the list, or it could not be kept."""
        self._uplink = uplink
        self._file = file
        self._ask_seconds = ask_seconds
        self._asked = Event()
        self._stopping = Event()
        self._error = ""
        self._thread = Thread(target=self._run, name="registry", daemon=True)

    def start(self) -> None:
        """Take up what the last run knew, and begin to ask."""
        self.latest = self._read()
        self._thread.start()

    def stop(self, timeout_seconds: float = 1) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def wait_asked(self, timeout_seconds: float) -> bool:
        """Whether services have been asked once, with whatever answer, within the timeout."""
        return self._asked.wait(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._refresh()
                self._error = ""
            except Exception as error:  # a loop's edge: counted, said once, tried again
                self._failed(error)
            self._asked.set()
            self._stopping.wait(self._ask_seconds)

    def _refresh(self) -> None:
        registry = self._uplink.registry()
        if registry.version == self.latest.version:
            return
        self.latest = registry
        temporary = self._file.with_suffix(".tmp")
        temporary.write_bytes(msgspec.json.encode(registry))
        temporary.replace(self._file)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if str(error) == self._error:
            return
        self._error = str(error)
        expected = isinstance(error, UplinkUnavailable | UplinkRejected | OSError)
        (log.warning if expected else log.exception)("registry_not_refreshed", reason=self._error)

    def _read(self) -> Registry:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Registry)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return Registry(version="", devices=[])
