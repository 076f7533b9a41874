"""`courtyard decode` and `courtyard simulate` as a person meets them."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import services.cli.decode
import services.cli.simulate  # noqa: F401
from device_profiles.library import SHIPPED
from gateway.simulator import ScriptedFault
from services.cli import app
from services.cli.simulate import parse_fault

_HEARTBEAT = "444e5910003b37ab0401002198080200000905ee02"
_TOPIC = "ap3000/04AB373B/up"

runner = CliRunner()


def _decode(*options: str, stdin: bytes | None = None) -> tuple[int, list[dict[str, object]], str]:
    result = runner.invoke(app, ["decode", *options], input=stdin)
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()], result.stderr


def test_one_line_of_json_per_reading() -> None:
    code, readings, said = _decode("ebike_charger_ap3000", "--topic", _TOPIC, "--hex", _HEARTBEAT)
    assert (code, said) == (0, "")
    assert [r["child"] for r in readings] == ["", "port:1", "port:2"]
    assert readings[0]["device"] == "ebike_charger_ap3000:04AB373B"
    assert readings[0]["values"] == {"supply_voltage": 220.0, "radio_signal": 9.0}
    assert readings[0]["flags"] == {"cabinet_temp": "impossible"}
    at = datetime.fromisoformat(str(readings[0]["measured_at"]))
    assert round(at.timestamp() * 1000) == readings[0]["measured_at_ms"]


def test_text_files_and_stdin_are_the_same_message(tmp_path: Path) -> None:
    topic, payload = "courtyard/yard/gates/g-1/telemetry", '{"ts": 1763741000000, "door": "forced"}'
    file = tmp_path / "message"
    file.write_text(payload)
    told = [
        _decode("access_gate_json", "--topic", topic, "--payload", payload),
        _decode("access_gate_json", "--topic", topic, "--payload-file", str(file)),
        _decode("access_gate_json", "--topic", topic, "--payload-file", "-", stdin=payload.encode()),
        _decode("access_gate_json", "--topic", topic, "--hex", payload.encode().hex()),
    ]
    for code, readings, _ in told:
        assert code == 0
        assert [(r["measured_at"], r["values"]) for r in readings] == [
            ("2025-11-21T16:03:20.000+00:00", {"door": "forced"})
        ]


def test_what_cannot_be_decoded_is_explained_on_stderr() -> None:
    code, readings, said = _decode("ebike_charger_ap3000", "--topic", _TOPIC, "--hex", _HEARTBEAT[:-2] + "03")
    assert (code, readings) == (1, [])
    for word in ("integrity", "heartbeat", "sum16", "0x03ee", "0x02ee"):
        assert word in said
    code, _, said = _decode("booster_set", "--topic", "x/y", "--payload", "{}")
    assert code == 1
    assert "courtyard/{site}/pumps/{address}/telemetry" in said


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["nonesuch", "--topic", "t", "--payload", "x"], "booster_set"),
        (["nonesuch.yaml", "--topic", "t", "--payload", "x"], "nonesuch.yaml"),
        (["booster_set", "--topic", "t"], "exactly one of --payload, --hex, --payload-file"),
        (["booster_set", "--topic", "t", "--payload", "x", "--hex", "00"], "exactly one"),
        (["booster_set", "--topic", "t", "--hex", "0g"], "--hex"),
        (["booster_set", "--topic", "t", "--payload-file", "/nonesuch"], "/nonesuch"),
        (["booster_set", "--topic", "t", "--payload", "x", "--timezone", "Mars/Base"], "Mars/Base"),
    ],
)
def test_a_slip_of_the_hand_is_explained_too(options: list[str], says: str) -> None:
    code, readings, said = _decode(*options)
    assert (code, readings) == (1, [])
    assert says in said
    assert "Traceback" not in said


def test_a_message_that_means_nothing_says_so(tmp_path: Path) -> None:
    file = tmp_path / "quiet.yaml"
    file.write_text(
        "profile: quiet\nfamily: meter\nname: {zh: 表, en: Meter}\navailability: {period: 1m}\n"
        "bindings: [{id: b, topic: 'm/{address}', ignore: true}]\n"
    )
    code, readings, said = _decode(str(file), "--topic", "m/1", "--payload", "x")
    assert (code, readings) == (0, [])
    assert "on purpose" in said


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "meter.yaml"
    file.write_text(
        "profile: my_meter\nfamily: meter\nname: {zh: 表, en: Meter}\navailability: {period: 1m}\n"
        "metrics: {power: {name: {zh: 功率, en: Power}, uom: W}}\n"
        "bindings: [{id: b, topic: 'm/{address}', time: {path: t, format: iso}, fields: {power: p}}]\n"
        "samples: [{name: one, topic: m/1, text: '{\"p\": 1}', expect: [{values: {power: 1}}]}]\n"
    )
    payload = '{"p": 4, "t": "2025-11-22T00:03:20"}'
    code, readings, said = _decode(str(file), "--topic", "m/7", "--payload", payload, "--timezone", "Asia/Shanghai")
    assert code == 0, said
    assert readings[0]["values"] == {"power": 4.0}
    assert readings[0]["measured_at"] == "2025-11-21T16:03:20.000+00:00"


# --- simulate --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("bp-1:pressure_loss", ScriptedFault("bp-1", "pressure_loss")),
        ("cs-1/port:3:hot_port", ScriptedFault("cs-1", "hot_port", "port:3")),
        ("cs-1/port:3:hot_port@10s", ScriptedFault("cs-1", "hot_port", "port:3", timedelta(seconds=10))),
        ("a:b@1m+30s", ScriptedFault("a", "b", "", timedelta(minutes=1), timedelta(seconds=30))),
    ],
)
def test_faults_on_the_command_line(text: str, fault: ScriptedFault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize("text", ["", "bp-1", "bp-1:", ":x", "bp-1:x@soon", "bp-1:x@1s+never", "bp-1:x@1s+2s+3s"])
def test_a_fault_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse_fault(text)


def test_which_faults_there_are() -> None:
    result = runner.invoke(app, ["simulate", "--demo", "--list-faults"])
    assert result.exit_code == 0, result.stderr
    assert "pump_failure" in result.stdout
    assert "hot_port" in result.stdout


def test_a_site_or_the_demo_but_not_neither() -> None:
    result = runner.invoke(app, ["simulate"])
    assert result.exit_code == 1
    assert "expected a site file or --demo, found neither" in result.stderr


def test_without_a_broker_the_simulator_says_so() -> None:
    result = runner.invoke(app, ["simulate", "--demo", "--mqtt", "http://127.0.0.1"])
    assert result.exit_code == 1
    assert "mqtt://" in result.stderr


def test_ones_own_profile_is_found_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = (SHIPPED / "sump_pump" / "json.yaml").read_text(encoding="utf-8")
    own = shipped.replace("profile: sump_pump_json", "profile: my_pump", 1).replace("/pumps/", "/mine/")
    (tmp_path / "my_pump.yaml").write_text(own, encoding="utf-8")
    monkeypatch.setenv("COURTYARD_PROFILES_DIR", str(tmp_path))
    topic = next(line.split()[1] for line in own.splitlines() if line.strip().startswith("topic: courtyard/"))
    topic = topic.replace("{site}", "yard").replace("{address}", "p1")
    code, readings, said = _decode("my_pump", "--topic", topic, "--payload", '{"level_pct": 40}')
    assert code == 0, said
    assert readings[0]["device"] == "my_pump:p1"


def test_brackets_in_what_was_found_are_shown(tmp_path: Path) -> None:
    """`rules[r]` names the place; taken for markup it would vanish."""
    broken = (
        (SHIPPED / "sump_pump" / "json.yaml").read_text(encoding="utf-8").replace("severity: ", "severity: very ", 1)
    )
    (tmp_path / "broken.yaml").write_text(broken, encoding="utf-8")
    code, _, said = _decode(str(tmp_path / "broken.yaml"), "--topic", "t", "--payload", "x")
    assert code == 1
    assert re.search(r"rules\[\w+\]\.severity: found", said)
