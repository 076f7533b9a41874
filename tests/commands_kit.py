"""A plug strip that is told to switch its ports: a real MQTT client that can also be silent, refuse or lie."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from device_profiles.schema import DeviceProfile
from gateway.mqtt import MqttUnavailable
from gateway.mqtt_client import MqttListener, MqttPublisher
from services import bootstrap
from services.accounts.policy import Grant, Role
from services.accounts.store import add_person
from services.bench.mosquitto import Mosquitto
from services.bootstrap import Core
from services.clock import SystemClock
from services.commands.api import desk_of
from services.commands.dispatch import Asked
from services.commands.store import CommandRecord
from services.database import Database
from services.settings import Settings
from services.sites.importer import import_site
from tests.gateway.kit import until

PROFILE = """
profile: plug
family: plug
name: {zh: 排插, en: Plug strip}
params: {ports: {type: integer, default: 2, min: 1, max: 8}}
children: {port: {name: {zh: 口, en: Port}, count: ports}}
metrics:
  power: {name: {zh: 功率, en: Power}, scope: port, uom: W, range: [0, 4000]}
  temp: {name: {zh: 温度, en: Temperature}, scope: port, uom: "°C", range: [-40, 200]}
  level: {name: {zh: 档位, en: Level}, range: [0, 100]}
states:
  smoke: {name: {zh: 烟, en: Smoke}, values: {no: {zh: 无, en: none, tone: ok}, yes: {zh: 有, en: smoke, tone: bad}}}
availability: {period: 60s}
bindings:
  - id: telemetry
    topic: plugs/{address}/telemetry
    decode: [{json: true}]
    fields: {level: level, smoke: smoke}
    each: [{child: port, over: ports, key: "{port}", fields: {power: power, temp: temp}}]
  - id: ack
    topic: plugs/{address}/ack
    decode: [{json: true}]
    reply:
      command: cut
      also: [feed]
      correlation: "{n}"
      result: r
      ok: [ok]
      reasons: {locked: {zh: 已锁, en: it is locked}}
commands:
  cut:
    name: {zh: 断电, en: Cut the power}
    scope: port
    topic: plugs/{address}/cmd
    json: {do: cut, port: "{key-1}", n: "{nonce}", id: "{id}"}
    role: crew
    confirm: {zh: 确定断电吗？, en: Cut the power of this port?}
    expires: 10s
    timeout: 2s
    least_interval: 200ms
    effect: {when: power < 5 W, within: 3s}
  feed:
    name: {zh: 送电, en: Feed}
    scope: port
    topic: plugs/{address}/cmd
    json: {do: feed, port: "{key-1}", n: "{nonce}", minutes: "{minutes}"}
    params: {minutes: {type: integer, default: 60, min: 1, max: 600, uom: min, name: {zh: 时长, en: How long}}}
    expires: 10s
    timeout: 2s
    retries: 1
  level:
    name: {zh: 设档, en: Set the level}
    topic: plugs/{address}/set/level
    text: "{to}"
    params: {to: {default: 50, min: 0, max: 100}}
    role: admin
    expires: 3s
    timeout: 2s
rules:
  - id: hot
    name: {zh: 过热, en: Too hot}
    scope: port
    when: temp >= 80 °C
    clear: {when: temp < 60 °C, for: 0s}
    severity: critical
    source: {kind: judgement}
    order: {command: cut}
  - id: not_cut
    name: {zh: 断电失败, en: The power could not be cut}
    scope: port
    when: cut_command in (failed, expired)
    clear: {when: cut_command == done, for: 0s}
    severity: critical
    source: {kind: judgement}
  - id: smoke
    name: {zh: 冒烟, en: Smoke}
    when: smoke == yes
    severity: critical
    source: {kind: judgement}
    order: {command: cut}
"""


def patient(*, timeout: str = "60s", within: str = "60s", expires: str = "120s") -> str:
    """The same profile, with time for a busy machine. A test that waits for one of these to run out shortens that one,
    and leaves the others."""
    text = PROFILE.replace("timeout: 2s", f"timeout: {timeout}").replace("within: 3s", f"within: {within}")
    return text.replace("expires: 10s", f"expires: {expires}").replace("expires: 3s", f"expires: {expires}")


def profile() -> DeviceProfile:
    return DeviceProfile.model_validate(YAML(typ="safe").load(PROFILE))


class PlugStrip:
    """The device. `manner` is obedient, silent, refuses, or lies (says that it has done it, and has not)."""

    def __init__(self, url: str, address: str = "p1", manner: str = "obedient") -> None:
        self.manner = manner
        self.heard: list[dict[str, Any]] = []
        self.retained = 0
        self.power = {1: 400.0, 2: 300.0}
        self.temp = {1: 30.0, 2: 30.0}
        self._address = address
        self._publisher = MqttPublisher(url, f"plug-{address}")
        self._listener = MqttListener(
            url, f"plug-{address}-ears", [f"plugs/{address}/cmd", f"plugs/{address}/set/level"], seconds=60
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> PlugStrip:
        self._publisher.start()
        assert self._publisher.wait_connected(60)
        self._listener.connect()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(60)
        self._listener.close()
        self._publisher.close()

    def report(self, **more: Any) -> None:
        ports = [{"port": n, "power": self.power[n], "temp": self.temp[n]} for n in self.power]
        self._say("telemetry", {"ports": ports, **more})

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                for message in self._listener.read(0.05):
                    self.retained += message.retained
                    self._obey(message.topic, message.payload)
            except MqttUnavailable:
                self._stopping.wait(0.05)  # a broker that is away needs the processor to come back
                with suppress(MqttUnavailable):
                    self._listener.connect()

    def _obey(self, topic: str, payload: bytes) -> None:
        if topic.endswith("/level"):
            self.heard.append({"do": "level", "to": payload.decode()})
            return
        order = json.loads(payload)
        self.heard.append(order)
        if self.manner == "silent":
            return
        answer = {"refuses": "locked"}.get(self.manner, "ok")
        self._say("ack", {"n": order["n"], "r": answer})
        if self.manner == "obedient" and order["do"] == "cut":
            self.power[order["port"] + 1] = 0.0
        self.report()

    def _say(self, what: str, body: Mapping[str, Any]) -> None:
        self._publisher.publish(f"plugs/{self._address}/{what}", json.dumps(body).encode())


SITE = """
site: yard
name: Yard
timezone: Asia/Shanghai
buildings: [{id: b1, units: [{id: u1, households: 1}]}]
devices: [{id: plug-1, profile: plug, address: p1}, {id: plug-2, profile: plug, address: p2}]
"""


def write_site(folder: Path, profile: str = PROFILE) -> None:
    (folder / "profiles").mkdir(parents=True, exist_ok=True)
    (folder / "profiles" / "plug.yaml").write_text(profile)
    (folder / "site.yaml").write_text(SITE)


def hire(database: Database, login: str, role: Role = Role.ADMIN) -> str:
    """Somebody with a role at the yard who never signs in; their id."""
    with database.write() as connection:
        grants = [Grant("yard", role)]
        return add_person(connection, login=login, password_hash="-", grants=grants, now=SystemClock().now()).id


class House:
    """Services and a gateway in this process, over a real broker, with the clock of the machine."""

    def __init__(
        self, stack: ExitStack, folder: Path, url: str, *, profile: str | None = None, **settings: Any
    ) -> None:
        write_site(folder, profile or patient())
        self.settings = Settings(data_dir=folder / "data", profiles_dir=folder / "profiles", **settings)
        self.core: Core = bootstrap.start_core(stack, self.settings, SystemClock())
        import_site(self.core.database, folder / "site.yaml", self.core.library, SystemClock().now())
        self.core.intake.reload()
        self.gateway = bootstrap.start_gateway(stack, self.core, url)
        bootstrap.start_clockwork(stack, self.core)
        self.desk = desk_of(self.core.context)
        hire(self.core.database, "keeper")
        until(lambda: self.gateway.status().connected, 60, "the gateway did not connect")

    def ask(self, command: str, child: str = "port:1", device: str = "plug-1", **params: Any) -> str:
        asked = Asked(device=device, child=child, command=command, params=params, by="keeper")
        return self.desk.ask(asked).id

    def look(self, id: str) -> CommandRecord:
        return self.desk.get(None, id)

    def ends(self, id: str, seconds: float = 60) -> CommandRecord:
        until(lambda: self.look(id).ended_at is not None, seconds, f"still {self.look(id)}")
        return self.look(id)

    def knows(self, device: str, child: str, name: str) -> Any:
        from services.sites.store import get_device

        with self.core.database.read() as connection:
            found = get_device(connection, None, device)
        assert found is not None
        latest = next((one for one in (found.latest, *found.children) if one.child == child), None)
        return latest.values.get(name) if latest else None


def wait_for(done: Callable[[], bool], why: str, seconds: float = 60) -> None:
    until(done, seconds, why)


def come_back(broker: Mosquitto) -> None:
    """Who tries to connect to a port of this machine where nobody listens may for a moment hold it himself."""

    def started() -> bool:
        try:
            broker.start()
        except RuntimeError:
            return False
        return True

    wait_for(started, "the broker did not come back")
