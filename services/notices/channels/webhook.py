"""Webhooks: one POST of JSON, to the address that was checked, following nothing."""

from __future__ import annotations

import ssl
from datetime import timedelta

import httpx

from services.notices.channels import Delivered, Message, Outcome, Rejected, RetryLater
from services.notices.channels.addresses import Destination, Forbidden, Unresolved, destination, is_public

_TIMEOUT = httpx.Timeout(5.0, read=10.0)
_LONGEST_PAUSE = timedelta(hours=1)


class Webhook:
    """Answers 2xx: delivered; 408, 425, 429, 5xx or no answer: later; anything else, redirects too: rejected."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._client = httpx.Client(
            timeout=_TIMEOUT,
            verify=ssl.create_default_context(),
            follow_redirects=False,
            trust_env=False,  # a proxy would resolve the name again, elsewhere
            # A kept connection belongs to an address; another host name at that address must check its own certificate.
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    def send(self, message: Message) -> Outcome:
        try:
            where = destination(message.target)
        except Forbidden as error:
            return Rejected(str(error))
        except Unresolved as error:
            return RetryLater(str(error))
        if not self._allow_private and not is_public(where.address):
            return Rejected(
                "the host is at a private, link-local or loopback address; "
                "set COURTYARD_WEBHOOK_ALLOW_PRIVATE=true if that is meant"
            )
        try:
            response = self._client.send(_request(message, where), stream=True)  # the body is nobody's business
            response.close()
            return outcome_of(response.status_code, response.headers.get("retry-after"))
        except httpx.TimeoutException:
            return RetryLater("no answer in time")
        except httpx.TransportError as error:
            return RetryLater(f"no connection: {error}")
        except (httpx.InvalidURL, ValueError) as error:
            return Rejected(f"the URL is not valid: {error}")

    def close(self) -> None:
        self._client.close()


def _request(message: Message, where: Destination) -> httpx.Request:
    # The URL names the checked address; Host and TLS name the host, so certificates are checked as usual.
    url = httpx.URL(message.target)
    port = "" if url.port is None else f":{url.port}"
    host = f"[{where.host}]" if ":" in where.host else where.host
    return httpx.Request(
        "POST",
        url.copy_with(host=str(where.address)),
        headers={"Host": f"{host}{port}", "Idempotency-Key": message.key, "User-Agent": "courtyard"},
        json={**message.data, "title": message.title, "body": message.body},
        extensions={"sni_hostname": where.host, "timeout": _TIMEOUT.as_dict()},
    )


def outcome_of(status: int, retry_after: str | None) -> Outcome:
    """What an HTTP status says about a delivery."""
    if 200 <= status < 300:
        return Delivered()
    if status in (408, 425, 429) or status >= 500:
        return RetryLater(f"answered {status}", _pause(retry_after))
    if 300 <= status < 400:
        return Rejected(f"answered {status}: redirects are not followed; use the final URL")
    return Rejected(f"answered {status}: mend the URL or its secret")


def _pause(retry_after: str | None) -> timedelta | None:
    if retry_after is None or not retry_after.strip().isdecimal():
        return None
    return min(timedelta(seconds=int(retry_after.strip()[:9])), _LONGEST_PAUSE)
