"""Commands while gateway and services are killed: each is said once or not at all, and each comes to an end."""

from __future__ import annotations

import random
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.ports import free_port
from services import bootstrap
from services.accounts.desk import add_token
from services.accounts.policy import Role
from services.bench.mosquitto import Mosquitto
from services.clock import SystemClock
from services.settings import Settings
from services.sites.importer import import_site
from tests.commands_kit import PlugStrip, write_site
from tests.faults import chance
from tests.faults.kit import Program
from tests.gateway.kit import until

KILLS = 6


class Apart:
    """Services and a gateway as two processes, with the plug strips' profile."""

    def __init__(self, stack: ExitStack, folder: Path, broker: Mosquitto) -> None:
        write_site(folder)
        settings = Settings(data_dir=folder / "services", profiles_dir=folder / "profiles")
        now = SystemClock().now()
        with ExitStack() as preparing:
            core = bootstrap.start_core(preparing, settings, SystemClock())
            import_site(core.database, folder / "site.yaml", core.library, now)
            _, secret = add_token(core.database, name="gateway-1", role=Role.GATEWAY, now=now, who=None)
            _, self.token = add_token(core.database, name="tester", role=Role.ADMIN, now=now, who=None)
        (folder / "token").write_text(secret)
        http = f"127.0.0.1:{free_port()}"
        self.services = Program(["services", "--data", str(folder / "services"), "--http", http], folder, b"http://")
        self.gateway = Program(
            ["gateway", "--data", str(folder / "gateway"), "--mqtt", broker.url, "--services", f"http://{http}",
             "--token-file", str(folder / "token"), "--id", "gateway-1"],
            folder,
            b"broker_connected",
        )  # fmt: skip
        self.api = stack.enter_context(
            httpx.Client(
                base_url=f"http://{http}/api/v1",
                headers={"Authorization": f"Bearer {self.token}"},
                trust_env=False,
                timeout=90,
            )
        )
        for program in (self.services, self.gateway):
            stack.callback(program.kill)
            program.start()
        for program in (self.services, self.gateway):
            program.wait_until_ready()

    def ask(self, key: str, child: str) -> str | None:
        """The id of a command; None while services are away or one of the kind is under way."""
        try:
            answer = self.api.post(
                "/devices/plug-1/commands", json={"command": "cut", "child": child}, headers={"Idempotency-Key": key}
            )
        except httpx.TransportError:
            return None
        assert answer.status_code in (201, 409), answer.text
        return str(answer.json()["id"]) if answer.status_code == 201 else None

    def commands(self) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.api.get("/commands", params={"limit": 500}).json()["items"]
        return items

    def value(self) -> Any:
        try:
            device = self.api.get("/devices/plug-1").json()
        except httpx.TransportError:
            return None
        ports = {one["child"]: one["values"] for one in device["children"]}
        return ports.get("port:1", {}).get("power")


def ask_for_a_while(apart: Apart, dice: random.Random, name: str) -> set[str]:
    """The ids of what was taken in: one at least. Both ports may be waiting for the end of a command from before the
    last kill, up to a quarter of a minute, and nothing else is taken in for them meanwhile."""
    begun, seconds = time.monotonic(), dice.uniform(1.0, 2.5)
    asked: set[str] = set()
    n = 0
    while not asked or time.monotonic() < begun + seconds:
        assert time.monotonic() < begun + 240, "no command was taken in"
        n += 1
        id = apart.ask(f"{name}/{n}", dice.choice(["port:1", "port:2"]))
        asked |= {id} if id else set()
        time.sleep(dice.uniform(0.02, 0.2))
    return asked


@pytest.mark.mosquitto
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_said_twice_and_nothing_is_forgotten(mosquitto: Mosquitto, tmp_path: Path) -> None:
    seed = chance.seed()
    dice = random.Random(seed)
    with ExitStack() as stack:
        apart = Apart(stack, tmp_path, mosquitto)
        strip = stack.enter_context(PlugStrip(mosquitto.url))
        until(lambda: strip.report() or apart.value() == 400, 60, "no reading arrived")
        asked: set[str] = set()
        # Thrown before anything that depends on how quick the machine is; and of all seeds some obey.
        manners = ["obedient", *(dice.choice(["obedient", "obedient", "silent"]) for _ in range(KILLS - 1))]
        for kill, manner in enumerate(manners):
            strip.manner = manner
            strip.power = {1: 400.0, 2: 300.0}
            asked |= ask_for_a_while(apart, dice, f"{kill}")
            program = dice.choice([apart.gateway, apart.services])
            program.kill()
            program.start()
            program.wait_until_ready()
        until(lambda: all(one["ended_at"] for one in apart.commands()), 240, "a command has come to no end")
        over = {one["id"]: one for one in apart.commands()}
        heard = Counter(one["id"] for one in strip.heard)
    print(
        f"seed {seed}: {len(over)} commands, {sum(heard.values())} heard, {Counter(o['state'] for o in over.values())}"
    )
    assert asked <= over.keys()
    assert max(heard.values()) == 1, "something was said twice"
    for id, one in over.items():
        if one["state"] == "done":
            assert heard[id] == 1, one
        if one["reason"] in ("not_fetched", "too_late"):
            assert heard[id] == 0, one
    assert any(one["state"] == "done" for one in over.values())
