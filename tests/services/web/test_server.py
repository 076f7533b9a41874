from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from gateway.ports import free_port
from services.web.server import AddressTaken, Server
from tests.services.notices.sinks import eventually


def app_with_a_stream() -> FastAPI:
    app = FastAPI()
    app.state.begun = threading.Event()

    @app.get("/live")
    async def live() -> StreamingResponse:
        async def beat() -> AsyncIterator[bytes]:
            while True:
                yield b"data: tick\n\n"
                await asyncio.sleep(0.05)

        return StreamingResponse(beat(), media_type="text/event-stream")

    @app.get("/slow")
    def slow() -> str:
        app.state.begun.set()
        time.sleep(0.5)
        return "done"

    return app


def test_it_answers_from_start_to_stop() -> None:
    server = Server(app_with_a_stream(), "127.0.0.1", free_port())  # one that nobody else is given meanwhile
    server.start()
    assert httpx.get(f"{server.url}/slow", timeout=60).text == '"done"'
    server.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/slow", timeout=60)
    server.stop()


def test_open_event_streams_do_not_hold_up_the_end() -> None:
    server = Server(app_with_a_stream(), "127.0.0.1", 0)
    server.start()
    got, ended = [], threading.Event()

    def listen() -> None:
        try:
            with httpx.stream("GET", f"{server.url}/live", timeout=60) as answer:
                got.extend(answer.iter_bytes())
        except httpx.TransportError:
            pass
        ended.set()

    threads = [threading.Thread(target=listen) for _ in range(3)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(got) > 6)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 10, "two seconds, and what a busy machine adds"
    for thread in threads:
        thread.join(60)
    assert ended.is_set()
    assert not any(thread.is_alive() for thread in threads)


def test_a_request_under_way_is_answered_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.web.server._GRACE_SECONDS", 60)  # half a second may take long on a busy machine
    app = app_with_a_stream()
    server = Server(app, "127.0.0.1", 0)
    server.start()
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(httpx.get(f"{server.url}/slow", timeout=60).text))
    thread.start()
    assert app.state.begun.wait(60)
    server.stop()
    thread.join(60)
    assert answers == ['"done"']


def test_a_taken_address_says_what_to_do() -> None:
    first = Server(app_with_a_stream(), "127.0.0.1", 0)
    first.start()
    with pytest.raises(AddressTaken, match="--http"):
        Server(app_with_a_stream(), "127.0.0.1", first.port).start()
    first.stop()


def test_it_starts_again_on_the_same_port() -> None:
    first = Server(app_with_a_stream(), "127.0.0.1", free_port())
    first.start()
    httpx.get(f"{first.url}/slow", timeout=60)
    first.stop()
    second = Server(app_with_a_stream(), "127.0.0.1", first.port)
    second.start()
    assert httpx.get(f"{second.url}/slow", timeout=60).status_code == 200
    second.stop()
