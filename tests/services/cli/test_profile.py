"""`courtyard profile` as a property engineer meets it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import services.cli.profile
import services.cli.profile_show
import services.cli.profile_watch  # noqa: F401
from gateway.mqtt_client import MqttPublisher
from services.authoring.capture import Message, line_of
from services.bench.mosquitto import Mosquitto
from services.cli import app
from services.cli.decode import file_that_says

runner = CliRunner()
_COURTYARD = [sys.executable, "-c", "import services.cli.profile_watch; from services.cli import app; app()"]
_START = 1_772_352_000_000


def _capture(folder: Path, *said: tuple[str, str]) -> Path:
    file = folder / "capture.jsonl"
    messages = [Message(_START + i * 10_000, topic, payload.encode()) for i, (topic, payload) in enumerate(said)]
    file.write_text("\n".join(map(line_of, messages)) + "\n", encoding="utf-8")
    return file


# --- new ------------------------------------------------------------------------------------------------------------


def test_one_typed_message_is_enough(tmp_path: Path) -> None:
    out = tmp_path / "m.yaml"
    options = ["--topic", "meters/m-001/data", "--payload", '{"power": 12.5}', "--out", str(out)]
    result = runner.invoke(app, ["profile", "new", "acme_meter", "--family", "meter", *options])
    assert result.exit_code == 0, result.stderr
    text = out.read_text(encoding="utf-8")
    assert "profile: acme_meter" in text and "topic: meters/{address}/data" in text and "uom: W" in text
    again = runner.invoke(app, ["profile", "new", "acme_meter", *options])
    assert again.exit_code == 1 and "--overwrite" in again.stderr
    assert out.read_text(encoding="utf-8") == text


def test_a_draft_can_go_to_stdout(tmp_path: Path) -> None:
    file = _capture(tmp_path, ("pumps/p-1/d", '{"power": 1}'))
    result = runner.invoke(app, ["profile", "new", "--from", str(file), "--out", "-"])
    assert result.exit_code == 0
    assert result.stdout.startswith("# A draft")
    assert "1 of 1 messages decode" in result.stderr


def test_shipped_profiles_that_understand_it_already_are_named(tmp_path: Path) -> None:
    shipped = json.loads(runner.invoke(app, ["profile", "show", "sump_pump_json", "--json"]).stdout)
    topic = next(one["topic"] for one in shipped["hears"] if one["topic"].endswith("telemetry"))
    file = _capture(tmp_path, (topic.replace("{site}", "yard").replace("{address}", "s1"), '{"level_pct": 40}'))
    result = runner.invoke(app, ["profile", "new", "--from", str(file), "--out", str(tmp_path / "x.yaml")])
    assert "sump_pump_json (1 of 1)" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "--from FILE, or --topic"),
        (["--from", "/nonesuch.jsonl"], "nonesuch.jsonl"),
        (["--from", "{capture}", "--topic", "other/#"], "pumps/p-1/d"),
        (["--from", "{empty}"], "courtyard capture"),
        (["--from", "{capture}", "--out", "/nonesuch/x.yaml"], "cannot be written"),
    ],
)
def test_a_slip_of_the_hand_is_explained(options: list[str], says: str, tmp_path: Path) -> None:
    capture, empty = _capture(tmp_path, ("pumps/p-1/d", '{"power": 1}')), tmp_path / "empty.jsonl"
    empty.write_text("nothing of the kind\n")
    given = [option.format(capture=capture, empty=empty) for option in options]
    result = runner.invoke(app, ["profile", "new", *given])
    assert result.exit_code == 1
    assert says in result.stderr
    assert "Traceback" not in result.stderr


# --- list, show -----------------------------------------------------------------------------------------------------


def test_which_profiles_there_are() -> None:
    listed = json.loads(runner.invoke(app, ["profile", "list", "--json"]).stdout)
    assert {"sump_pump_json", "ebike_charger_ap3000"} <= {one["profile"] for one in listed}
    pumps = json.loads(runner.invoke(app, ["profile", "list", "--family", "sump_pump", "--json"]).stdout)
    assert {one["family"] for one in pumps} == {"sump_pump"}
    table = runner.invoke(app, ["profile", "list"]).stdout
    assert f"{len(listed)} profiles" in table
    wrong = runner.invoke(app, ["profile", "list", "--family", "sump_pmp"])
    assert wrong.exit_code == 1 and "did you mean sump_pump?" in wrong.stderr


def test_what_a_profile_reads_and_raises_and_why() -> None:
    said = json.loads(runner.invoke(app, ["profile", "show", "sump_pump_json", "--json"]).stdout)
    assert said["hears"] and said["reads"]
    assert all(one["source"].split(":")[0] in ("standard", "vendor", "judgement") for one in said["raises"])
    assert "Raises" in runner.invoke(app, ["profile", "show", "sump_pump_json"]).stdout
    wrong = runner.invoke(app, ["profile", "show", "sump_pump_jsn"])
    assert wrong.exit_code == 1 and "did you mean sump_pump_json?" in wrong.stderr
    assert "COURTYARD_PROFILES_DIR" in wrong.stderr


def test_one_profile_is_found_without_reading_the_library(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("profile: one # first\n")
    (tmp_path / "b.yaml").write_text("# profile: one\nprofile: 'two'\n")
    assert file_that_says("one", [tmp_path]) == tmp_path / "a.yaml"
    assert file_that_says("two", [tmp_path]) == tmp_path / "b.yaml"
    assert file_that_says("three", [tmp_path]) is None


# --- watch ----------------------------------------------------------------------------------------------------------

_METER = """\
profile: my_meter
family: meter
name: {zh: 表, en: Meter}
metrics: {power: {name: {zh: 功率, en: Power}, uom: W}}
availability: {period: 1m}
bindings: [{id: b, topic: 'm/{address}/d', decode: [{json: true}], fields: {power: p}}]
"""


def test_a_capture_is_watched_once(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_text(_METER, encoding="utf-8")
    capture = _capture(tmp_path, ("m/1/d", '{"p": 4, "q": 1}'), ("m/2/d", '{"p": "x"}'), ("other", "1"))
    result = runner.invoke(app, ["profile", "watch", str(file), "--from", str(capture), "--once"])
    assert result.exit_code == 1, "one message does not decode"
    assert "1 of 2 messages decode" in result.stdout
    assert "4 W" in result.stdout and "not read: q" in result.stdout
    assert "found" in result.stdout and "expected" in result.stdout
    assert "1 messages on topics that the profile does not bind" in result.stdout


def test_a_clock_that_is_not_believed_is_explained(tmp_path: Path) -> None:
    """Eight hours ahead of what is believed to be here: the device stands in Shanghai and names no zone."""
    file = tmp_path / "m.yaml"
    text = _METER.replace("fields: {power: p}", "time: {path: t, format: iso}, fields: {power: p}")
    file.write_text(text, encoding="utf-8")
    capture = _capture(tmp_path, ("m/1/d", '{"p": 4, "t": "2026-03-01 16:00:00"}'))
    command = ["profile", "watch", str(file), "--from", str(capture), "--once"]
    said = " ".join(runner.invoke(app, command).stdout.split())
    assert "skewed" in said and "read in UTC; --timezone says" in said
    assert "skewed" not in runner.invoke(app, [*command, "--timezone", "Asia/Shanghai"]).stdout


def test_what_a_later_step_finds_is_not_called_missing(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    layout = '{tlv: {entries: {"0175": {fields: [{name: battery, type: u8}]}}}, at: data}'
    text = _METER.replace("fields: {power: p}", "fields: {power: data.battery, load: data.load}").replace(
        "W}}", "W}, load: {name: {zh: 负载, en: Load}}}"
    )
    file.write_text(
        text.replace("{json: true}", f"{{json: true}}, {{base64: true, at: data}}, {layout}"), encoding="utf-8"
    )
    result = runner.invoke(
        app, ["profile", "watch", str(file), "--from", str(_capture(tmp_path, ("m/1/d", '{"data": "AXVc"}'))), "--once"]
    )
    assert "92 W" in result.stdout
    assert "nothing found for load" in result.stdout and "power (data.battery)" not in result.stdout


def test_failing_samples_are_counted_and_only_what_differs_is_said(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    samples = [
        {"name": name, "topic": "m/1/d", "text": '{"p": 4}', "expect": [{"values": {"power": wanted}}]}
        for name, wanted in (("good", 4), ("bad", 5))
    ]
    file.write_text(_METER + f"samples: {json.dumps(samples)}\n", encoding="utf-8")
    result = runner.invoke(
        app, ["profile", "watch", str(file), "--from", str(_capture(tmp_path, ("m/1/d", '{"p": 4}'))), "--once"]
    )
    assert "1 of 2 samples hold: the gateway does not take the profile like this" in result.stdout
    assert "✓" not in result.stdout
    assert "values: found {'power': 4.0}, expected {'power': 5}" in result.stdout


@pytest.mark.mosquitto
def test_an_edit_is_seen_at_once(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A live message; a mistake with its line; the message again with the mended version; ctrl-C."""
    file, log = tmp_path / "m.yaml", tmp_path / "log"
    file.write_text(_METER.replace("fields: {power: p}", "fields: {power: pp}"), encoding="utf-8")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*_COURTYARD, "profile", "watch", str(file), "--mqtt", mosquitto.url], stdout=out, stderr=out
        )
    try:
        _until(lambda: "Listening" in _said(log), log)
        with MqttPublisher(mosquitto.url, "meter") as meter:
            meter.publish("m/1/d", b'{"p": 4}')
            assert meter.flush(60)
        _until(lambda: "nothing found for power (pp)" in _said(log), log)
        assert "4 W" not in _said(log)
        file.write_text(_METER.replace("uom: W", "unit: W"), encoding="utf-8")
        _until(lambda: "m.yaml:4: metrics.power.unit: found the unknown key 'unit'" in _said(log), log)
        file.write_text(_METER, encoding="utf-8")
        _until(lambda: "The last 1 messages again" in _said(log) and "4 W" in _said(log), log)
        process.send_signal(2)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait(60)


def _said(log: Path) -> str:
    """So far: the last letter may stand there by half."""
    return log.read_text(encoding="utf-8", errors="replace")


def _until(done: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline, _said(log)
        time.sleep(0.05)
