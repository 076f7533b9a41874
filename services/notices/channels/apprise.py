"""Any Apprise URL (https://github.com/caronc/apprise/wiki), and a look at what the service really answered.

Apprise takes HTTP 200 for success. WeCom, DingTalk, Feishu and others answer 200 and say in the body that they refused,
so a lost message would count as delivered. Their plugins make requests through `_Listener`, which notes the answers.
"""

from __future__ import annotations

import sys
import threading
from datetime import timedelta
from types import ModuleType
from typing import Any

import requests

from services.notices.channels import Delivered, Message, Outcome, Rejected, RetryLater

# Services that say in the body whether they took the message, and the codes with which they did.
_SAYS_IN_BODY: dict[str, frozenset[int]] = {
    "wecombot": frozenset({0}),
    "dingtalk": frozenset({0}),
    "feishu": frozenset({0}),
    "lark": frozenset({0}),
    "serverchan": frozenset({0}),
    "pushdeer": frozenset({0}),
    "bark": frozenset({200}),
    "ntfy": frozenset(),  # it has a code only when it refuses
}
_CODE_KEYS = ("errcode", "code", "StatusCode")
# Too often or too busy: WeCom 45009 and -1, DingTalk 130101 and 410100, Feishu and Lark 9499 and 11232.
_TOO_OFTEN = frozenset({-1, 45009, 130101, 410100, 9499, 11232})
_PAUSE = timedelta(minutes=1)  # these services count per minute


class AppriseChannel:
    """One notice through one Apprise URL."""

    def send(self, message: Message) -> Outcome:
        from apprise import Apprise  # reads some hundred plugins: only where one is used

        plugin = Apprise.instantiate(message.target, suppress_exceptions=True)
        if plugin is None:
            return Rejected("this is no Apprise URL; see the list of services in Apprise's wiki")
        service = type(plugin).__module__.rpartition(".")[2]
        _listen_to(type(plugin))
        with _Answers() as answers:
            taken = bool(plugin.notify(body=message.body, title=message.title))
        return outcome_of(service, [_said(answer) for answer in answers], taken=taken)

    def close(self) -> None:
        """Nothing is kept open between messages."""


Said = tuple[int, Any]
"""HTTP status and the JSON body, None where it is none."""


def outcome_of(service: str, answers: list[Said], *, taken: bool) -> Outcome:
    """What the answers say, whatever Apprise made of them."""
    for _, body in answers:
        if service in _SAYS_IN_BODY and (refusal := _refusal(service, body)) is not None:
            return refusal
    status = next((status for status, _ in answers if not 200 <= status < 300), None)
    if taken and status is None:
        return Delivered()
    if status is None:
        return RetryLater(f"{service}: no answer")
    if status in (408, 425, 429) or status >= 500:
        return RetryLater(f"{service} answered {status}", _PAUSE if status == 429 else None)
    return Rejected(f"{service} answered {status}: mend the URL or its secret")


def _refusal(service: str, body: Any) -> Outcome | None:
    if not isinstance(body, dict):
        return None
    code = next((body[key] for key in _CODE_KEYS if isinstance(body.get(key), int)), None)
    if code is None or code in _SAYS_IN_BODY[service]:
        return None
    words = next((str(body[key])[:200] for key in ("errmsg", "msg", "message", "error") if body.get(key)), "")
    if code in _TOO_OFTEN:
        return RetryLater(f"{service} is asked too often: {code} {words}", _PAUSE)
    return Rejected(f"{service} refused: {code} {words}")


def _said(answer: requests.Response) -> Said:
    try:
        return answer.status_code, answer.json()
    except ValueError:
        return answer.status_code, None


# --- listening ------------------------------------------------------------------------------------------------------

_heard = threading.local()


class _Answers:
    """Collects the answers that plugins get on this thread meanwhile."""

    def __enter__(self) -> list[requests.Response]:
        answers: list[requests.Response] = []
        _heard.answers = answers
        return answers

    def __exit__(self, *_: object) -> None:
        del _heard.answers


class _Listener(ModuleType):
    """Stands in a plugin's module where `requests` stood, and notes each answer."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(requests, name)
        return _noting(found) if name in ("get", "post", "put", "patch", "delete", "request") else found


def _noting(call: Any) -> Any:
    def noted(*args: Any, **kwargs: Any) -> requests.Response:
        answer: requests.Response = call(*args, **kwargs)
        getattr(_heard, "answers", []).append(answer)
        return answer

    return noted


def _listen_to(plugin: type) -> None:
    for module in {sys.modules[base.__module__] for base in plugin.__mro__ if base.__module__.startswith("apprise.")}:
        if getattr(module, "requests", None) is requests:
            module.requests = _Listener("requests")  # type: ignore[attr-defined]
