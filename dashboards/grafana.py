"""One Grafana over HTTP, by grafana-client; what goes wrong is said in words that name the next step."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaException, GrafanaTimeoutError

from dashboards.capabilities import Capabilities, capabilities

Credential = str | tuple[str, str]
"""A token, or a user and a password."""
_NEEDED = re.compile(r"Permissions needed: (.+)", re.DOTALL)


class GrafanaRefused(OSError):
    """Grafana cannot be reached, or does not take it; the text says why and what to do.

    `status` is HTTP's, 0 where there was no answer. `permission`: the one that is missing, where Grafana says so.
    `reason`: Grafana's own words.
    """

    def __init__(self, text: str, *, status: int = 0, permission: str = "", reason: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.permission = permission
        self.reason = reason


class Grafana:
    """Asks and tells; every answer is plain JSON. Raises GrafanaRefused. Use it in a `with`, or close it."""

    def __init__(self, url: str, credential: Credential | None, *, timeout_seconds: float = 15.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GrafanaRefused(
                f"expected http://HOST:3000 or https://HOST/grafana for Grafana, found {url.rpartition('@')[2]!r}"
            )
        # Without a user and password that may stand in it: it is shown.
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
        api = GrafanaApi.from_url(self.url, credential=credential, timeout=timeout_seconds)
        self._client: Any = api.client
        # The client itself loses the slash behind a path, and the brackets of an IPv6 address.
        self._client.url = f"{self.url}/api"
        # Followed, a POST becomes a GET that succeeds and changes nothing, and secrets go to wherever it leads.
        self._client.s.max_redirects = 0
        if _is_this_machine(parts.hostname):
            # A proxy of the environment would look for Grafana on its own machine, and see the token.
            self._client.s.trust_env = False
            self._client.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End its connections."""
        self._client.s.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        return self._ask("GET", path, params=params)

    def find(self, path: str, params: Mapping[str, Any] | None = None) -> Any | None:
        """None where there is no such thing."""
        try:
            return self.get(path, params)
        except GrafanaRefused as refused:
            if refused.status == 404:
                return None
            raise

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("POST", path, json=dict(body))

    def put(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PUT", path, json=dict(body))

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PATCH", path, json=dict(body))

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path, accept_empty_json=True)

    def capabilities(self) -> Capabilities:
        """Asks for its version; also finds out whether what answers is Grafana at all."""
        try:
            health = self.get("/health")
        except GrafanaRefused as refused:
            if refused.status == 404:
                raise GrafanaRefused(
                    f"{self.url}: no Grafana answers there (404 on /api/health). If it stands behind a sub-path, give "
                    "the address with the path: https://HOST/grafana",
                    status=404,
                ) from refused
            raise
        if not isinstance(health, dict) or "database" not in health:
            raise GrafanaRefused(f"{self.url}: something answers, but it is no Grafana (no `database` in /api/health)")
        return capabilities(health.get("version") or self._told_to_users())

    def _told_to_users(self) -> str | None:
        """Where `hide_version` is set, those who are let in are told all the same."""
        try:
            told = self.get("/frontend/settings")
        except GrafanaRefused:
            return None
        return str(told.get("buildInfo", {}).get("version") or "") or None

    def _ask(self, method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"], path: str, **arguments: Any) -> Any:
        try:
            answer = getattr(self._client, method)(path, **arguments)
        except GrafanaTimeoutError as slow:
            raise GrafanaRefused(f"{self.url}: no answer in time to {method} {path}") from slow
        except GrafanaException as refused:
            raise _said(self.url, f"{method} {path}", refused) from refused
        except (OSError, ValueError, RecursionError) as error:  # niquests' are OSErrors, what is no JSON a ValueError
            raise GrafanaRefused(f"{self.url}: {_short(error)}") from error
        if isinstance(answer, str) and answer.lstrip().startswith("<"):
            raise GrafanaRefused(
                f"{self.url}: a web page answers instead of Grafana's API. If Grafana stands behind a sub-path, give "
                "the address with the path: https://HOST/grafana"
            )
        return answer


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@contextmanager
def answers_of(grafana: Grafana) -> Iterator[None]:
    """While answers are taken apart: those that are built otherwise than Grafana's are refused in words."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise GrafanaRefused(
            f"{grafana.url}: it answers otherwise than Grafana does ({type(error).__name__}: {error}); see whether "
            "something stands in front of it"
        ) from error


def _said(url: str, what: str, refused: GrafanaException) -> GrafanaRefused:
    status = int(refused.status_code or 0)
    body = refused.response if isinstance(refused.response, dict) else {}
    reason = str(body.get("message") or refused.message or "").strip()[:300]
    if reason.lstrip().startswith("<"):
        reason = "a web page instead of an answer"
    needed = _NEEDED.search(reason)
    permission = needed.group(1).strip() if needed else ""
    next_step = _next_step(status, permission, reason)
    text = f"{url}: {what}: {reason or 'no reason given'} ({status})" + (f". {next_step}" if next_step else "")
    return GrafanaRefused(text, status=status, permission=permission, reason=reason)


def _next_step(status: int, permission: str, reason: str) -> str:
    if status == 401:
        return "The token is not accepted: revoked, expired, or of another Grafana. Make one: courtyard grafana token"
    if status == 403:
        lacking = f"The token lacks {permission}" if permission else "The token may not do this"
        return f"{lacking}: its service account needs a higher role, see courtyard grafana token --help"
    if status in (409, 412) and "same name" in reason:
        return "Rename what has this name there, or move it away, and run the command again"
    if status in (409, 412):
        return "Somebody changed it at the same time: run the command again"
    if status in (502, 503, 504):
        return "Grafana, or what stands in front of it, is not ready: try again later"
    return ""


def _short(error: Exception) -> str:
    """The last words of a chain such as HTTPConnectionPool(…): Max retries exceeded … Connection refused."""
    words = str(error)
    if "Redirects" in type(error).__name__:
        return "it leads to another address: give that one, such as https:// instead of http://, or with its path"
    if isinstance(error, RecursionError):
        return "what answers there is not Grafana's API: its answer has no end"
    if "refused" in words.lower():
        return "nothing listens there (connection refused)"
    if isinstance(error, ValueError) and not isinstance(error, ConnectionError) and "JSON" in type(error).__name__:
        return "what answers there is not Grafana's API: its answer is no JSON"
    return words[-300:] or type(error).__name__
