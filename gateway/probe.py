"""Does a broker let us in? One connection with a session of its own that leaves nothing behind."""

from __future__ import annotations

import secrets
import ssl
import time
from dataclasses import dataclass

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from gateway.mqtt import BrokerAddress


@dataclass(frozen=True)
class BrokerAnswer:
    accepted: bool
    said: str
    """The broker's word, or why there was none."""


def probe_broker(address: BrokerAddress, *, seconds: float = 5.0) -> BrokerAnswer:
    """Connect and leave. Never uses the gateway's client id: that would throw the running gateway out."""
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
        client.disconnect()
    except (OSError, ValueError) as refused:
        return BrokerAnswer(accepted=False, said=str(refused))
    if not answers:
        return BrokerAnswer(accepted=False, said="something listens there but does not answer as an MQTT broker")
    return BrokerAnswer(accepted=not answers[0].is_failure, said=str(answers[0]))
