"""`courtyard capture` on a real broker, and where there is none."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

import services.cli.capture  # noqa: F401
from gateway.mqtt_client import MqttPublisher
from gateway.ports import free_port
from services.authoring.capture import Message, line_of, message_of, read_capture
from services.bench.mosquitto import Mosquitto
from services.cli import app

runner = CliRunner()
_COURTYARD = [sys.executable, "-c", "from services.cli.main import app; app()"]


@contextmanager
def _start(*options: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [*_COURTYARD, "capture", *options], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # where a test failed in the middle


def _listening(process: subprocess.Popen[str]) -> None:
    """It says so once the broker has acknowledged the subscription."""
    assert process.stderr is not None
    assert "Listening" in process.stderr.readline()


@pytest.mark.mosquitto
def test_what_is_said_stands_in_the_file(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Text as text, bytes as hex, retained ones marked; --max ends it."""
    file = tmp_path / "capture.jsonl"
    with MqttPublisher(mosquitto.url, "device") as device:
        device.publish("pumps/p1/status", b"online", retain=True)
        assert device.flush(60)
        with _start("--mqtt", mosquitto.url, "--topic", "pumps/#", "--max", "4", "--out", str(file)) as process:
            _listening(process)
            device.publish("pumps/p1/data", '{"压力": 0.4}'.encode())
            device.publish("other/p1/data", b"not asked for")
            device.publish("pumps/p1/raw", b"\x01\x03\x00\xff", qos=0)
            device.publish("pumps/p1/data", b"a\x00b")
            _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["topic"], line.get("text"), line.get("hex"), line["retained"], line["qos"]) for line in lines] == [
        ("pumps/p1/status", "online", None, True, 1),
        ("pumps/p1/data", '{"压力": 0.4}', None, False, 1),
        ("pumps/p1/raw", None, "010300ff", False, 0),
        ("pumps/p1/data", None, "610062", False, 1),
    ]
    assert "4 messages" in said
    assert "courtyard profile new --from" in said
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.mosquitto
def test_ctrl_c_keeps_what_was_heard(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = tmp_path / "capture.jsonl"
    with _start("--mqtt", mosquitto.url, "--out", str(file)) as process:
        _listening(process)
        with MqttPublisher(mosquitto.url, "device") as device:
            device.publish("t/1", b"1")
            deadline = time.monotonic() + 60
            while not file.read_text():
                assert time.monotonic() < deadline
                time.sleep(0.02)
        process.send_signal(2)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert [message.topic for message in read_capture(file)[0]] == ["t/1"]


@pytest.mark.mosquitto
def test_nothing_said_leaves_no_file_and_says_what_to_look_at(mosquitto: Mosquitto, tmp_path: Path) -> None:
    file = tmp_path / "capture.jsonl"
    result = runner.invoke(
        app, ["capture", "--mqtt", mosquitto.url, "--topic", "x/#", "--for", "300ms", "--out", str(file)]
    )
    assert result.exit_code == 0
    assert "Nothing was said on x/#" in result.stderr
    assert not file.exists()


@pytest.mark.mosquitto
def test_a_broker_that_wants_a_password_says_so(tmp_path: Path) -> None:
    config = "listener {port} 127.0.0.1\nallow_anonymous false\n"
    with Mosquitto(tmp_path / "broker", config=config) as broker:
        for url, says in (
            (broker.url, "user:password@"),
            (broker.url.replace("://", "://me:wrong@"), "password of me"),
        ):
            result = runner.invoke(app, ["capture", "--mqtt", url, "--out", str(tmp_path / "c.jsonl")])
            assert result.exit_code == 1
            assert says in result.stderr
            assert "wrong" not in result.stderr
    assert not (tmp_path / "c.jsonl").exists()


def test_no_broker_is_said_and_an_old_capture_survives(tmp_path: Path) -> None:
    file = tmp_path / "capture.jsonl"
    file.write_text("kept\n")
    url = f"mqtt://127.0.0.1:{free_port()}"
    result = runner.invoke(app, ["capture", "--mqtt", url, "--out", str(file), "--overwrite"])
    assert result.exit_code == 1
    assert "Is a broker running there?" in result.stderr
    assert file.read_text() == "kept\n"
    result = runner.invoke(app, ["capture", "--mqtt", url, "--out", str(file)])
    assert "--append" in result.stderr
    assert file.read_text() == "kept\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", "/nonesuch/capture.jsonl"], "/nonesuch/capture.jsonl cannot be written"),
        (["--topic", "a/#/b"], "pumps/#"),
        (["--topic", ""], "--topic"),
        (["--for", "soon"], "duration"),
        (["--mqtt", "http://x"], "mqtt://"),
    ],
)
def test_a_slip_of_the_hand_is_explained(options: list[str], says: str, tmp_path: Path) -> None:
    extra = [] if "--out" in options else ["--out", str(tmp_path / "c.jsonl")]
    result = runner.invoke(app, ["capture", *options, *extra])
    assert result.exit_code == 1
    assert says in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("payload", [b"", b"online", b"\xff\x00", "温度".encode(), b"a\nb", b"\x1b[2J", b'"\\'])
def test_a_line_gives_back_the_very_bytes(payload: bytes) -> None:
    message = Message(1_772_352_000_123, "a/b", payload, True, 1)
    assert message_of(line_of(message)) == message


def test_lines_of_other_tools_are_read(tmp_path: Path) -> None:
    file = tmp_path / "c.jsonl"
    file.write_text(
        '{"tst":"2026-03-01T08:00:01+00:00","topic":"a","qos":0,"retain":1,"payloadlen":9,"payload":{"t": 1}}\n'
        '{"id": 1, "received_at": "2026-03-01T08:00:00.000+00:00", "topic": "b", "payload_hex": "0a"}\n'
        "not json\n"
    )
    messages, unread = read_capture(file)
    assert [(one.topic, one.payload, one.retained) for one in messages] == [
        ("b", b"\n", False),
        ("a", b'{"t": 1}', True),
    ]
    assert [(one.line, "one JSON object per line" in one.problem) for one in unread] == [(3, True)]
