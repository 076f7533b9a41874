"""`courtyard command` against a real server, gateway and device."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.accounts.desk import add_token
from services.accounts.policy import Role
from services.bench.mosquitto import Mosquitto
from services.bootstrap import start_web
from services.cli.main import app
from services.clock import SystemClock
from tests import commands_kit
from tests.commands_kit import PROFILE, House, PlugStrip, wait_for

PATIENT = (
    PROFILE.replace("timeout: 2s", "timeout: 60s")
    .replace("within: 3s", "within: 60s")
    .replace("expires: 10s", "expires: 120s")
)
"""What must come about here has all the time that a busy machine takes."""


@pytest.mark.mosquitto
def test_a_command_is_sent_and_followed_to_its_end(
    mosquitto: Mosquitto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_kit, "PROFILE", PATIENT)
    with ExitStack() as stack:
        house = House(stack, tmp_path, mosquitto.url, http="127.0.0.1:0")
        server = start_web(stack, house.core, house.gateway)
        plug = stack.enter_context(PlugStrip(mosquitto.url))
        plug.report()
        wait_for(lambda: house.knows("plug-1", "port:1", "power") == 400, "its first reading")
        token = tmp_path / "token"
        _, secret = add_token(house.core.database, name="cli", role=Role.ENGINEER, now=SystemClock().now(), who=None)
        token.write_text(secret)
        where = ["--url", server.url, "--token-file", str(token)]

        listed = CliRunner().invoke(app, ["command", "list", "plug-1", *where])
        assert listed.exit_code == 0, listed.output
        assert "cut" in listed.output and "--child port:1 | port:2" in listed.output
        assert "--param minutes=60  integer from 1 to 600 min" in listed.output
        assert "not with this token" in listed.output

        done = CliRunner().invoke(app, ["command", "send", "plug-1", "cut", "--child", "port:1", *where])
        assert done.exit_code == 0, done.output
        assert "queued" in done.output and "reason: effect_seen" in done.output

        plug.manner = "refuses"
        refused = CliRunner().invoke(app, ["command", "send", "plug-1", "cut", "--child", "port:2", *where])
        assert refused.exit_code == 1
        assert "result: locked" in refused.output
        for arguments, said in (
            (["plug-1", "cut"], "one of port:1, port:2"),
            (["plug-1", "feed", "--child", "port:1", "--param", "minutes=9999"], "minutes"),
            (["plug-1", "feed", "--child", "port:1", "--param", "minutes"], "NAME=VALUE"),
            (["plug-1", "level", "--param", "to=1"], "needs the role admin"),
            (["nobody", "cut"], "nobody"),
        ):
            wrong = CliRunner().invoke(app, ["command", "send", *arguments, *where])
            assert wrong.exit_code == 1 and said in wrong.output, wrong.output
        away = CliRunner().invoke(app, ["command", "list", "plug-1", "--url", "http://127.0.0.1:9", *where[2:]])
        assert away.exit_code == 1 and "does not answer" in away.output
