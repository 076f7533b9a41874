"""A Grafana over real HTTP for tests: it keeps state and answers as Grafana's HTTP API documents, per version.

What it knows of 10, 11, 12 and 13: folders in folders (from 11), the wrapped list of versions (from 11.6), the name of
PostgreSQL's plugin (from 10.2.3), how 12 and later rewrite what they store, numeric ids that answer no more (13).
"""

from __future__ import annotations

import base64
import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ADMIN = ("admin", "an admin's password")
EVERYTHING = "glsa_everything"
EDITOR = "glsa_editor"
VIEWER = "glsa_viewer"
_EDITOR_MAY = {"folders:", "dashboards:", "annotations:"}


class Refusal(Exception):
    def __init__(self, status: int, message: str, /, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, **more}


class GrafanaServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, version: str = "13.2.3", *, path: str = "", hide_version: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Routes)
        self.version = version
        self.numbers = tuple(int(part) for part in version.split("."))
        self.path = path
        self.hide_version = hide_version
        self.folders: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        """uid -> {dashboard, folderUid, provisioned, messages}"""
        self.datasources: dict[str, dict[str, Any]] = {}
        self.annotations: dict[int, dict[str, Any]] = {}
        self.teams: dict[int, str] = {}
        self.permissions: dict[str, list[dict[str, Any]]] = {}
        """Of folders, as people see them: {role | userId | teamId and team, permission, inherited}."""
        self.accounts: dict[int, dict[str, Any]] = {}
        self.tokens: dict[str, str] = {EVERYTHING: "Admin", EDITOR: "Editor", VIEWER: "Viewer"}
        self.plugins = {"influxdb", "prometheus", "postgres" if self.numbers < (10, 2, 3) else _POSTGRESQL}
        self.max_token_days: int | None = None
        self.writes: list[tuple[str, str]] = []
        self.down = False
        self.before_save: Any = None
        """Called with the uid before a dashboard is stored: somebody else who saves at the same moment."""
        self.counter = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{self.path}"

    def number(self) -> int:
        self.counter += 1
        return self.counter

    @property
    def nested(self) -> bool:
        return self.numbers >= (11, 0, 0)

    # --- what people do in the browser --------------------------------------------------------------------------

    def person_saves(self, uid: str, **changes: Any) -> None:
        there = self.boards[uid]
        there["dashboard"] |= {**changes, "version": there["dashboard"]["version"] + 1}
        there["messages"].append("")

    def person_makes(self, uid: str, folder: str, **board: Any) -> None:
        dashboard = {"title": f"of a person {uid}", "tags": [], "panels": [], **board, "uid": uid, "version": 1}
        self.boards[uid] = {"dashboard": dashboard, "folderUid": folder, "provisioned": "", "messages": [""]}

    def file_provides(self, board: dict[str, Any], file: str) -> None:
        self.boards[board["uid"]] = {
            "dashboard": {**board, "version": 1},
            "folderUid": "of-files",
            "provisioned": file,
            "messages": [""],
        }


_POSTGRESQL = "grafana-postgresql-datasource"
EVERYBODY = [
    {"role": "Viewer", "permission": 1, "inherited": False},
    {"role": "Editor", "permission": 2, "inherited": False},
]
"""What a new folder at the top lets whom do."""


@contextmanager
def running(version: str = "13.2.3", **options: Any) -> Iterator[GrafanaServer]:
    with GrafanaServer(version, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Routes(BaseHTTPRequestHandler):
    server: GrafanaServer
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one packet: in two, each answer waits 40 ms for an acknowledgement
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def log_message(self, format: str, *args: object) -> None:
        return

    # --- the frame ----------------------------------------------------------------------------------------------

    def _serve(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length) if length else b""
        parts = urlsplit(self.path)
        if self.server.down:
            self._send(503, b"<html>bad gateway</html>", "text/html")
            return
        if not parts.path.startswith(self.server.path + "/api/"):
            self._send(200, b"<!doctype html><title>Welcome</title>", "text/html; charset=UTF-8")
            return
        self.body = json.loads(raw) if raw else {}
        self.query = parse_qs(parts.query)
        steps = [unquote(step) for step in parts.path[len(self.server.path) + 5 :].strip("/").split("/")]
        try:
            with self.server.lock:
                answer = self._route(method, steps)
                if method != "GET":
                    self.server.writes.append((method, "/".join(steps)))
        except Refusal as refusal:
            self._json(refusal.status, refusal.body)
            return
        self._json(200, answer)

    def _route(self, method: str, steps: list[str]) -> Any:
        if steps == ["health"]:
            told = {} if self.server.hide_version else {"version": self.server.version, "commit": "abc"}
            return {"database": "ok", **told}
        self.role = self._who()
        routes: dict[str, Any] = {
            "frontend": lambda *_: {"buildInfo": {"version": self.server.version}},
            "folders": self._folders,
            "search": self._search,
            "dashboards": self._dashboards,
            "datasources": self._datasources,
            "annotations": self._annotations,
            "serviceaccounts": self._accounts,
            "teams": self._teams,
        }
        if steps[0] not in routes:
            raise Refusal(404, "Not found")
        return routes[steps[0]](method, steps[1:])

    def _who(self) -> str:
        kind, _, secret = self.headers.get("Authorization", "").partition(" ")
        if kind == "Bearer" and secret in self.server.tokens:
            return self.server.tokens[secret]
        if kind == "Basic" and base64.b64decode(secret).decode() == ":".join(ADMIN):
            return "Admin"
        raise Refusal(401, "Invalid API key" if kind == "Bearer" else "Invalid username or password")

    def _needs(self, permission: str) -> None:
        may = self.role == "Admin" or (self.role == "Editor" and permission.split(":")[0] + ":" in _EDITOR_MAY)
        if not (may or (permission.endswith(":read") and not permission.startswith("datasources"))):
            raise Refusal(
                403,
                f"You'll need additional permissions to perform this action. Permissions needed: {permission}",
                title="Access denied",
                accessErrorId="ACE0123456789",
            )

    # --- folders ------------------------------------------------------------------------------------------------

    def _folders(self, method: str, steps: list[str]) -> Any:
        folders = self.server.folders
        if method == "GET" and not steps:
            parent = self.query.get("parentUid", [""])[0] if self.server.nested else ""
            return [{"uid": uid, "title": one["title"]} for uid, one in folders.items() if one["parentUid"] == parent]
        if method == "POST" and not steps:
            return self._folder_made()
        if steps[0] not in folders:
            if self.role != "Admin":
                self.role = "Viewer"
                self._needs("folders:write")  # who is no administrator is not told what is not there
            raise Refusal(404, "folder not found")
        there = folders[steps[0]]
        if steps[1:] == ["permissions"]:
            return self._permissions(method, steps[0])
        if method == "GET":
            return {"uid": steps[0], **there}
        self._needs("folders:write")
        if method == "DELETE":
            for uid, board in list(self.server.boards.items()):
                if board["folderUid"] == steps[0]:
                    del self.server.boards[uid]
            return folders.pop(steps[0])
        if steps[1:] == ["move"]:
            there["parentUid"] = self.body["parentUid"]
        elif self.body.get("overwrite") or self.body.get("version") == there["version"]:
            there["title"] = self.body["title"]
        else:
            raise Refusal(412, "the folder has been changed by someone else")
        return {"uid": steps[0], **there}

    def _permissions(self, method: str, folder: str) -> Any:
        self._needs("folders.permissions:read" if method == "GET" else "folders.permissions:write")
        if method == "POST":
            items = [{**one, "inherited": False} for one in self.body["items"]]
            self.server.permissions[folder] = [
                {**one, "team": self.server.teams[one["teamId"]]} if "teamId" in one else one for one in items
            ]
            return {"message": "Folder permissions updated"}
        # What a folder inherits from the one around it is not shown.
        parent = self.server.folders[folder]["parentUid"]
        return self.server.permissions.get(folder, [] if parent else EVERYBODY)

    def _teams(self, method: str, steps: list[str]) -> Any:
        teams = self.server.teams
        if steps == ["search"]:
            self._needs("teams:read")
            name, part = self.query.get("name", [""])[0], self.query.get("query", [""])[0]
            found = [
                {"id": number, "name": one}
                for number, one in teams.items()
                if name in ("", one) and part.lower() in one.lower()
            ]
            return {"totalCount": len(found), "teams": found}
        self._needs("teams:create")
        if self.body["name"] in teams.values():
            raise Refusal(409, "Team name taken")
        number = self.server.number()
        teams[number] = self.body["name"]
        return {"message": "Team created", "teamId": number}

    def _folder_made(self) -> Any:
        self._needs("folders:create")
        uid, title = self.body["uid"], self.body["title"]
        parent = self.body.get("parentUid", "") if self.server.nested else ""
        _check_uid(uid)
        if uid in self.server.folders:
            raise Refusal(412, "a folder/dashboard with the same uid already exists")
        if parent and parent not in self.server.folders:
            raise Refusal(404, "parent folder not found")
        if not self.server.nested and any(one["title"] == title for one in self.server.folders.values()):
            raise Refusal(409, "a folder or dashboard in the general folder with the same name already exists")
        self.server.folders[uid] = {"title": title, "parentUid": parent, "version": 1}
        return {"uid": uid, "title": title}

    # --- dashboards ---------------------------------------------------------------------------------------------

    def _search(self, method: str, steps: list[str]) -> Any:
        tags = set(self.query.get("tag", []))
        knows = self.server.numbers >= (10, 0, 0)
        within = set(self.query.get("folderUIDs", [])) if knows else set()
        found: list[dict[str, Any]] = []
        for uid, one in self.server.boards.items():
            board = one["dashboard"]
            if tags <= set(board.get("tags") or []) and (not within or one["folderUid"] in within):
                found.append({"uid": uid, "title": board["title"], "folderUid": one["folderUid"], "type": "dash-db"})
        if self.query.get("type", [""])[0] != "dash-db" and not knows:
            found += [
                {"uid": uid, "title": one["title"], "type": "dash-folder"} for uid, one in self.server.folders.items()
            ]
        if self.query.get("type", [""])[0] != "dash-db" and within:
            children = [uid for uid, one in self.server.folders.items() if one["parentUid"] in within]
            found += [{"uid": uid, "type": "dash-folder"} for uid in children]
        limit, page = int(self.query.get("limit", ["1000"])[0]), int(self.query.get("page", ["1"])[0])
        return found[(page - 1) * limit : page * limit]

    def _dashboards(self, method: str, steps: list[str]) -> Any:
        if method == "POST" and steps == ["db"]:
            return self._saved()
        if steps[0] != "uid" or steps[1] not in self.server.boards:
            raise Refusal(404, "Dashboard not found")
        uid = steps[1]
        there = self.server.boards[uid]
        if method == "DELETE":
            self._needs("dashboards:delete")
            if there["provisioned"]:
                raise Refusal(400, "provisioned dashboard cannot be deleted")
            del self.server.boards[uid]
            return {"title": there["dashboard"]["title"], "message": "Dashboard deleted"}
        if steps[2:] == ["versions"]:
            newest = [
                {"version": n + 1, "parentVersion": n, "message": text if n else "Initial save"}
                for n, text in enumerate(there["messages"])
            ][::-1]
            return newest if self.server.numbers < (11, 6, 0) else {"continueToken": "", "versions": newest}
        if there.get("schema") == 2 and (12, 0, 0) <= self.server.numbers < (13, 0, 0):
            raise Refusal(406, "dashboard api version not supported, use /apis/dashboard.grafana.app/… instead")
        meta = {"folderUid": there["folderUid"], "provisioned": bool(there["provisioned"])}
        meta |= {"provisionedExternalId": there["provisioned"]} if there["provisioned"] else {}
        return {"dashboard": there["dashboard"], "meta": meta}

    def _saved(self) -> Any:
        self._needs("dashboards:write")
        board = copy.deepcopy(self.body["dashboard"])
        folder = self.body.get("folderUid", "")
        if "elements" in board or "spec" in board:
            raise Refusal(400, "dashboard schema v2 is not supported by this API")
        if board.get("id") is not None:
            raise Refusal(404, "Dashboard not found", status="not-found")
        if not board.get("title"):
            raise Refusal(400, "Dashboard title cannot be empty", status="empty-name")
        if folder and folder not in self.server.folders:
            raise Refusal(400, "folder not found")
        uid = board["uid"]
        _check_uid(uid)
        if self.server.before_save:
            self.server.before_save(uid)
        there = self.server.boards.get(uid)
        if there and there["provisioned"]:
            raise Refusal(400, "Cannot save provisioned dashboard")
        if there and not self.body.get("overwrite") and board.get("version") != there["dashboard"]["version"]:
            if self.server.numbers >= (13, 0, 0):
                raise Refusal(409, "Dashboard already exists. Use overwrite flag to update.")
            raise Refusal(412, "The dashboard has been changed by someone else", status="version-mismatch")
        self._no_twin(uid, board["title"], folder)
        version = there["dashboard"]["version"] + 1 if there else 1
        messages = (there["messages"] if there else []) + [self.body.get("message", "")]
        stored = _rewritten(board) if self.server.numbers >= (12, 0, 0) else board
        stored |= {"id": self.server.number(), "version": version}
        self.server.boards[uid] = {"dashboard": stored, "folderUid": folder, "provisioned": "", "messages": messages}
        return {"uid": uid, "status": "success", "version": version, "url": f"/d/{uid}"}

    def _no_twin(self, uid: str, title: str, folder: str) -> None:
        if self.server.numbers >= (11, 0, 0):
            return
        for other, one in self.server.boards.items():
            if other != uid and one["folderUid"] == folder and one["dashboard"]["title"] == title:
                message = "A dashboard with the same name in the folder already exists"
                raise Refusal(412, message, status="name-exists")

    # --- datasources --------------------------------------------------------------------------------------------

    def _datasources(self, method: str, steps: list[str]) -> Any:
        known = self.server.datasources
        if method == "GET" and not steps:
            self._needs("datasources:read")
            return [{name: value for name, value in one.items() if name != "secrets"} for one in known.values()]
        if method == "POST":
            self._needs("datasources:create")
            return self._datasource_made()
        if steps[0] != "uid":
            raise Refusal(404, "Not found")  # numeric ids
        there = known.get(steps[1])
        self._needs("datasources:read" if method == "GET" else "datasources:write")
        if there is None:
            raise Refusal(404, "Data source not found")
        if steps[2:] == ["health"]:
            return {"status": "OK", "message": "datasource is working. 27 measurements found"}
        if method == "PUT":
            if there.get("readOnly"):
                raise Refusal(403, "Cannot update read-only data source")
            secrets = there["secrets"] | self.body.get("secureJsonData", {})
            known[steps[1]] = _datasource(self.body, secrets)
            there = known[steps[1]]
        shown = {name: value for name, value in there.items() if name != "secrets"}
        return {**shown, "secureJsonFields": dict.fromkeys(there["secrets"], True)}

    def _datasource_made(self) -> Any:
        body = self.body
        if any(one["name"] == body["name"] or uid == body["uid"] for uid, one in self.server.datasources.items()):
            raise Refusal(409, "data source with the same name already exists")
        if body["type"] not in self.server.plugins:
            raise Refusal(404, f"plugin {body['type']} not found")
        self.server.datasources[body["uid"]] = _datasource(body, dict(body.get("secureJsonData", {})))
        return {"message": "Datasource added", "datasource": {"uid": body["uid"]}, "name": body["name"]}

    # --- annotations --------------------------------------------------------------------------------------------

    def _annotations(self, method: str, steps: list[str]) -> Any:
        kept = self.server.annotations
        if method == "GET":
            return self._annotations_found()
        self._needs({"POST": "annotations:create", "DELETE": "annotations:delete"}.get(method, "annotations:write"))
        if method == "POST":
            if not self.body.get("text"):
                raise Refusal(400, "Failed to save annotation")
            number = self.server.number()
            kept[number] = {
                "id": number,
                **_times(self.body),
                "tags": _kept_tags(self.body["tags"]),
                "text": self.body["text"],
            }
            return {"message": "Annotation added", "id": number}
        if int(steps[0]) not in kept:
            raise Refusal(404, "Annotation not found")
        if method == "DELETE":
            del kept[int(steps[0])]
            return {"message": "Annotation deleted"}
        there = kept[int(steps[0])]
        there |= {"text": self.body["text"]} if "text" in self.body else {}
        there |= {"tags": _kept_tags(self.body["tags"])} if "tags" in self.body else {}
        there |= _times({**there, **self.body})
        return {"message": "Annotation patched"}

    def _annotations_found(self) -> Any:
        wanted = [_pair(tag) for tag in self.query.get("tags", [])]
        since, until = int(self.query.get("from", ["0"])[0]), int(self.query.get("to", ["0"])[0])
        found = []
        for one in self.server.annotations.values():
            # As Grafana counts: of all tags of one annotation, those that fit any that is asked for.
            pairs = [_pair(tag) for tag in one["tags"]]
            hits = sum(any(key == k and value in ("", v) for key, value in wanted) for k, v in pairs)
            if wanted and hits != len(wanted):
                continue
            if since > 0 and until > 0 and not (one["time"] <= until and one["timeEnd"] >= since):
                continue
            found.append(one)
        found.sort(key=lambda one: (-one["timeEnd"], -one["time"]))
        return found[: int(self.query.get("limit", ["100"])[0])]

    # --- service accounts ---------------------------------------------------------------------------------------

    def _accounts(self, method: str, steps: list[str]) -> Any:
        accounts = self.server.accounts
        self._needs("serviceaccounts:write")
        if steps == ["search"]:
            query = self.query.get("query", [""])[0]
            shown = [_shown(one) for one in accounts.values() if query in one["name"]]
            return {"totalCount": len(shown), "serviceAccounts": shown, "page": 1, "perPage": 1000}
        if not steps or steps == [""]:
            if any(one["name"] == self.body["name"] for one in accounts.values()):
                raise Refusal(400, "service account already exists")
            number = self.server.number()
            accounts[number] = {"id": number, "isDisabled": False, **self.body, "tokens": {}}
            return _shown(accounts[number])
        account = accounts[int(steps[0])]
        if method == "PATCH":
            account |= self.body
            return _shown(account)
        return self._tokens(method, account, steps[2:])

    def _tokens(self, method: str, account: dict[str, Any], steps: list[str]) -> Any:
        tokens = account["tokens"]
        if method == "GET":
            return [{"id": number, "name": name} for number, (name, _) in tokens.items()]
        if method == "DELETE":
            _, secret = tokens.pop(int(steps[0]))
            del self.server.tokens[secret]
            return {"message": "Service account token deleted"}
        if self.server.max_token_days is not None and not self.body.get("secondsToLive"):
            raise Refusal(400, "Number of seconds before expiration should be set")
        if any(name == self.body["name"] for name, _ in tokens.values()):
            raise Refusal(409, "service account token with given name already exists in the organization")
        number = self.server.number()
        secret = f"glsa_{number:032x}"
        tokens[number] = (self.body["name"], secret)
        self.server.tokens[secret] = account["role"]
        return {"id": number, "name": self.body["name"], "key": secret}

    # --- answering ----------------------------------------------------------------------------------------------

    def _json(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _check_uid(uid: str) -> None:
    if len(uid) > 40:
        raise Refusal(400, "uid too long, max 40 characters")
    if not all(sign.isascii() and (sign.isalnum() or sign in "-_") for sign in uid):
        raise Refusal(400, "uid contains illegal characters")


def _rewritten(board: dict[str, Any]) -> dict[str, Any]:
    """As 12 and later store: what is empty is left out, defaults are filled in, and the built-in annotations come."""
    stored: dict[str, Any] = _without_nothing(board)
    stored["preload"] = False
    listed = stored.setdefault("annotations", {}).setdefault("list", [])
    if not any(one.get("builtIn") for one in listed):
        listed.insert(0, {"builtIn": 1, "name": "Annotations & Alerts", "datasource": {"uid": "-- Grafana --"}})
    return stored


def _without_nothing(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nothing(one) for name, one in value.items() if one not in (None, "", [])}
    return [_without_nothing(one) for one in value] if isinstance(value, list) else value


def _datasource(body: dict[str, Any], secrets: dict[str, str]) -> dict[str, Any]:
    kept = {name: value for name, value in body.items() if name not in ("secureJsonData", "secureJsonFields")}
    return {"isDefault": False, "readOnly": False, **kept, "secrets": secrets}


def _times(body: dict[str, Any]) -> dict[str, int]:
    start = int(body.get("time") or body.get("timeEnd") or 0)
    end = int(body.get("timeEnd") or start)
    return {"time": min(start, end), "timeEnd": max(start, end)}


def _pair(tag: str) -> tuple[str, str]:
    """Grafana splits at every colon and keeps the first two parts."""
    key, value, *_ = [*tag.split(":"), ""]
    return key.strip(), value.strip()


def _kept_tags(tags: list[str]) -> list[str]:
    """As Grafana keeps them: a key and a value of each, none twice."""
    pairs = dict.fromkeys(_pair(tag) for tag in tags)
    return [f"{key}:{value}" if value else key for key, value in pairs if key]


def _shown(account: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in account.items() if name != "tokens"}
