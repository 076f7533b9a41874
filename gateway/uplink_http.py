"""Readings to services over HTTP. Retries are the forwarder's: each call tries once and says whose move it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx
import msgspec

from gateway.reading import Batch, Millis, Registry
from gateway.uplink import CommandOrder, CommandOutcome, UplinkRejected, UplinkUnavailable

_TIMEOUT = httpx.Timeout(10.0, read=30.0)  # services commit before they answer
T = TypeVar("T")


class _Committed(msgspec.Struct):
    cursor: int


class _Orders(msgspec.Struct):
    now: Millis
    orders: list[CommandOrder]


class _Problem(msgspec.Struct):
    detail: str = ""
    next_step: str = ""


class HttpUplink:
    """Delivers to `<services_url>/api/v1/intake` with the token in a file.

    The file is read with each call, so a token can be changed without a restart.
    """

    def __init__(self, services_url: str, token_file: Path, *, now_millis: Callable[[], Millis] | None = None) -> None:
        """With `now_millis`, the gateway's clock, the times of orders are moved onto it: two clocks seldom agree."""
        self._token_file = token_file
        self._now = now_millis
        self._url = services_url.rstrip("/") + "/api/v1/intake"
        self._client = httpx.Client(timeout=_TIMEOUT, follow_redirects=False)

    def cursor(self, gateway: str) -> int:
        return _decoded(self._ask("GET", "/cursor", params={"gateway": gateway}), _Committed).cursor

    def deliver(self, batch: Batch) -> int:
        return _decoded(self._ask("POST", "", content=msgspec.json.encode(batch)), _Committed).cursor

    def registry(self) -> Registry:
        return _decoded(self._ask("GET", "/registry"), Registry)

    def orders(self, gateway: str, wait_seconds: float) -> list[CommandOrder]:
        params = {"gateway": gateway, "wait": f"{wait_seconds:g}"}
        found = _decoded(self._ask("GET", "/orders", params=params), _Orders)
        ahead = 0 if self._now is None else self._now() - found.now
        return [msgspec.structs.replace(order, expires_at=order.expires_at + ahead) for order in found.orders]

    def report(self, gateway: str, outcomes: list[CommandOutcome]) -> None:
        self._ask("POST", "/outcomes", params={"gateway": gateway}, content=msgspec.json.encode(outcomes))

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> HttpUplink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self, method: str, path: str, *, params: dict[str, str] | None = None, content: bytes | None = None
    ) -> bytes:
        headers = {"Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"}
        try:
            answer = self._client.request(method, self._url + path, params=params, content=content, headers=headers)
        except httpx.TransportError as error:
            raise UplinkUnavailable(f"services cannot be reached: {error or type(error).__name__}") from error
        if answer.status_code == 200:
            return answer.content
        # 409: the batch does not fit what services have; asking for the cursor again mends it.
        if answer.status_code >= 500 or answer.status_code in (408, 409, 425, 429):
            raise UplinkUnavailable(f"services answered {answer.status_code}{_said(answer)}")
        raise UplinkRejected(f"services answered {answer.status_code}{_said(answer)}")

    def _token(self) -> str:
        try:
            token = self._token_file.read_text().strip()
        except OSError as error:
            raise UplinkRejected(f"the token cannot be read from {self._token_file}: {error.strerror}") from error
        if not token.isascii() or not token.isprintable() or not token:
            raise UplinkRejected(f"there is no token in {self._token_file}")
        return token


def _decoded(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # Something else answers at this address, such as a proxy's sign-in page.
        raise UplinkUnavailable(f"the answer is not one of Courtyard's services: {error}") from error


def _said(answer: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(answer.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return f": {problem.detail} {problem.next_step}".rstrip()
