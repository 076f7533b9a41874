"""Does a broker let us in? One connection with a session of its own that leaves nothing behind."""

from __future__ import annotations

import secrets
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt import BrokerAddress

_FILTERS_AT_ONCE = 100


@dataclass(frozen=True)
class BrokerAnswer:
    accepted: bool
    said: str
    """The broker's word, or why there was none."""
    refused_filters: tuple[str, ...] = ()
    """Those of the subscriptions that it does not grant. Mosquitto's access list grants all, and then stays silent."""


def probe_broker(address: BrokerAddress, *, seconds: float = 5.0, filters: Sequence[str] = ()) -> BrokerAnswer:
    """Connect, subscribe where filters are given, and leave. Never uses the gateway's client id: that would throw the
    running gateway out."""
    answers: list[ReasonCode] = []
    client = paho.Client(
        CallbackAPIVersion.VERSION2, f"courtyard-doctor-{secrets.token_hex(4)}", protocol=paho.MQTTv311
    )
    if address.user is not None:
        client.username_pw_set(address.user, address.password)
    if address.tls:
        client.tls_set_context(ssl.create_default_context())
    client.connect_timeout = seconds
    client.on_connect = lambda _c, _d, _f, reason, _p: answers.append(reason)
    until = time.monotonic() + seconds
    try:
        client.connect(address.host, address.port, keepalive=10)
        while not answers and time.monotonic() < until:
            if client.loop(0.1) != paho.MQTT_ERR_SUCCESS:
                break
        refused = _subscribe(client, filters, until) if answers and not answers[0].is_failure else ()
        client.disconnect()
    except (OSError, ValueError) as error:
        return BrokerAnswer(accepted=False, said=str(error))
    if not answers:
        return BrokerAnswer(accepted=False, said="something listens there but does not answer as an MQTT broker")
    return BrokerAnswer(accepted=not answers[0].is_failure, said=str(answers[0]), refused_filters=refused)


def _subscribe(client: paho.Client, filters: Sequence[str], until: float) -> tuple[str, ...]:
    """Those that are refused. Asked for some at a time, as brokers bound the size of a packet."""
    granted: dict[int, list[ReasonCode]] = {}
    client.on_subscribe = lambda _c, _d, mid, reasons, _p: granted.update({mid: reasons})
    refused: list[str] = []
    for at in range(0, len(filters), _FILTERS_AT_ONCE):
        some = filters[at : at + _FILTERS_AT_ONCE]
        _, mid = client.subscribe([(one, 0) for one in some])
        while mid is not None and mid not in granted and time.monotonic() < until:
            if client.loop(0.1) != paho.MQTT_ERR_SUCCESS:
                return tuple(refused)
        reasons = granted.get(mid or 0, [])
        refused += [one for one, reason in zip(some, reasons, strict=False) if reason.is_failure]
    return tuple(refused)
