"""Publishing, against a server that answers on the routes of Grafana's API as its documentation says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from dashboards.build import GENERATED
from dashboards.publish import GrafanaRefused, publish
from gateway.ports import free_port

TOKEN = "glsa_right"


class Grafana(ThreadingHTTPServer):
    """Folders and dashboards in memory."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Routes)
        self.folders: dict[str, str] = {}
        self.boards: dict[str, dict[str, Any]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Routes(BaseHTTPRequestHandler):
    server: Grafana

    def do_GET(self) -> None:
        uid = self.path.removeprefix("/api/folders/")
        if not self._let_in():
            return
        if uid in self.server.folders:
            self._answer(200, {"uid": uid, "title": self.server.folders[uid]})
        else:
            self._answer(404, {"message": "folder not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._let_in():
            return
        if self.path == "/api/folders":
            self.server.folders[body["uid"]] = body["title"]
            self._answer(200, body)
        elif self.path == "/api/dashboards/db" and body["folderUid"] in self.server.folders:
            uid = body["dashboard"]["uid"]
            self.server.boards[uid] = body
            self._answer(200, {"uid": uid, "url": f"/d/{uid}", "status": "success", "version": 1})
        else:
            self._answer(412, {"message": "refused"})

    def _let_in(self) -> bool:
        if self.headers["Authorization"] == f"Bearer {TOKEN}":
            return True
        self._answer(401, {"message": "Invalid API key"})
        return False

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    with Grafana() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


FILES = sorted((GENERATED / "en").glob("*.json"))


def test_every_dashboard_arrives_whole_in_our_folder_and_again_over_itself(grafana: Grafana) -> None:
    for _ in range(2):
        done = publish(grafana.url, TOKEN, FILES)
        assert len(done) == len(FILES) == len(grafana.boards)
    assert grafana.folders == {"courtyard": "Courtyard"}
    for file in FILES:
        board = json.loads(file.read_text())
        sent = grafana.boards[board["uid"]]
        assert sent["overwrite"] is True
        assert sent["dashboard"] == {**board, "id": None}


def test_a_wrong_token_is_said(grafana: Grafana) -> None:
    with pytest.raises(GrafanaRefused, match="Unauthorized"):
        publish(grafana.url, "wrong", FILES[:1])
    assert grafana.boards == {}


def test_no_grafana_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(GrafanaRefused, match=r"127\.0\.0\.1"):
        publish(f"http://127.0.0.1:{free_port()}", TOKEN, FILES[:1], timeout_seconds=2)
