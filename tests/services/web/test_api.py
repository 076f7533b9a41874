"""What the API does for those it lets in."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec
import pytest
import structlog
from sqlalchemy import insert, update

from gateway.quarantine import QuarantineEntry
from gateway.reading import Batch, GatewayStatus, Reading
from services.clock import to_millis
from services.intake.set_aside import keep
from services.tables import outages, recipients
from services.web.app import BODY_CAP
from tests.services.web.world import NOW, RecordingGateway, World


def problem(answer: Any, status: int, type: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["type"] == type
    assert body["status"] == status
    assert body["title"] and body["detail"] and body["next_step"]
    return body


def test_health_says_little_to_strangers_and_more_to_engineers(world: World) -> None:
    assert set(world.client().get("/api/v1/health").json()) == {"status", "version"}
    problem(world.client("crew@east").get("/api/v1/health/detail"), 403, "forbidden")
    detail = world.client("engineer@east").get("/api/v1/health/detail").json()
    assert detail["notices"] == {"failed": 1}, "of the own site only"
    assert detail["open"]["tickets"] == 1
    assert world.client("engineer@*").get("/api/v1/health/detail").json()["notices"] == {"failed": 2}


def test_health_tells_when_the_database_is_away(world: World) -> None:
    world.context.database.close()
    world.context.database.url = "sqlite:////nowhere/at/all.db"
    world.context.database.start()
    problem(world.client().get("/api/v1/health"), 503, "database")
    problem(world.client("crew@east").get("/api/v1/devices"), 503, "database")


def test_readings_of_a_device(world: World) -> None:
    client = world.client("crew@east")
    said = client.get("/api/v1/readings", params={"device": "east-pump", "metrics": "pressure"}).json()
    assert [point["value"] for point in said["metrics"]["pressure"]] == [0.4]
    assert said["metrics"]["pressure"][0]["at"].startswith("2026-03-01T07:59:59")
    earlier = {"device": "east-pump", "metrics": "pressure", "to": (NOW - timedelta(hours=1)).isoformat()}
    assert client.get("/api/v1/readings", params=earlier).json()["metrics"].get("pressure", []) == []
    assert client.get("/api/v1/readings", params={"device": "west-pump"}).status_code == 404


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-03-01T08:00:00Z", "to": "2026-03-01T07:00:00Z"},
        {"from": "2026-03-01T08:00:00"},
        {"limit": 0},
        {"limit": 10**9},
        {"metrics": ["x"] * 51},
    ],
)
def test_nonsense_spans_are_refused(world: World, query: dict[str, Any]) -> None:
    problem(
        world.client("crew@east").get("/api/v1/readings", params={"device": "east-pump", **query}), 422, "not-valid"
    )


def test_acknowledging_keeps_the_first_name(world: World) -> None:
    first = world.browser("crew.east").post("/api/v1/alarms/east-alarm/acknowledge").json()
    assert first["acknowledged_by"] == "crew.east"
    again = world.browser("crew.all").post("/api/v1/alarms/east-alarm/acknowledge").json()
    assert again["acknowledged_by"] == "crew.east"


def test_a_ticket_from_assignment_to_reopening(world: World) -> None:
    client = world.browser("crew.east")

    def do(what: str, version: int, **body: Any) -> Any:
        return client.post(f"/api/v1/tickets/east-ticket/{what}", json={"version": version, **body})

    assert do("assign", 1, to="crew.east").json()["assignee"] == "crew.east"
    assert do("start", 2, note="on my way").json()["state"] == "in_progress"
    ticked = do("steps/0", 3).json()
    assert ticked["steps"][0]["done_by"] == "crew.east"
    assert do("steps/0", 4, done=False).json()["steps"][0]["done_at"] is None
    assert do("steps/9", 5).status_code == 404
    noted = client.post("/api/v1/tickets/east-ticket/notes", json={"text": "valve changed"}).json()
    assert noted["events"][-1]["note"] == "valve changed"
    assert do("close", 5).json()["state"] == "closed"
    problem(do("start", 6), 409, "conflict")
    assert do("reopen", 6).json()["state"] == "open"
    assert do("cancel", 7).json()["state"] == "cancelled"
    assert client.get("/api/v1/tickets", params={"state": "cancelled"}).json()["items"][0]["id"] == "east-ticket"


def test_an_older_version_is_a_conflict(world: World) -> None:
    client = world.client("crew@east")
    assert client.post("/api/v1/tickets/east-ticket/start", json={"version": 1}).status_code == 200
    problem(client.post("/api/v1/tickets/east-ticket/close", json={"version": 1}), 409, "conflict")


@pytest.mark.parametrize("login", ["crew.west", "nobody"])
def test_a_ticket_goes_only_to_somebody_who_can_see_it(world: World, login: str) -> None:
    answer = world.client("crew@east").post("/api/v1/tickets/east-ticket/assign", json={"version": 1, "to": login})
    problem(answer, 422, "not-valid")


def test_lists_come_in_pages(world: World) -> None:
    client = world.client("crew@*")
    for path in ("devices", "alarms", "tickets", "outages"):
        seen, cursor = [], None
        for _ in range(3):
            page = client.get(f"/api/v1/{path}", params={"limit": 1, **({"cursor": cursor} if cursor else {})}).json()
            seen += [item["id"] for item in page["items"]]
            cursor = page["next"]
            if cursor is None:
                break
        assert len(seen) == len(set(seen)) == 2, path


def test_failed_notices_show_why_and_can_be_sent_again(world: World) -> None:
    client = world.client("engineer@east")
    (notice,) = client.get("/api/v1/notices", params={"state": "failed"}).json()["items"]
    assert notice["last_error"] == "410"
    assert notice["target"] == "https://hooks.example.org/…"
    assert client.post("/api/v1/notices/east-notice/retry").json()["state"] == "queued"
    problem(client.post("/api/v1/notices/east-notice/retry"), 404, "not-found")


class TestNews:
    NEWS: ClassVar = {"zh": "维修人员已到现场", "en": "The crew is here"}

    def test_news_stand_in_the_outage_and_go_to_residents(self, world: World) -> None:
        with world.context.database.write() as connection:
            row = {"id": "r1", "site": "east", "name": "li", "audience": "residents", "channel": "email"}
            connection.execute(insert(recipients).values(**row, target="li@homes.example", language="en"))
            # Nothing is broken in this world, so the intake restored it at its start.
            connection.execute(update(outages).values(state="ongoing", restored_at=None))
        said = world.browser("crew.east").post("/api/v1/outages/east-outage/news", json=self.NEWS).json()
        assert said["updates"][-1]["text"] == self.NEWS
        assert said["updates"][-1]["who"] == "crew.east"
        assert said["next_news_at"] == "2026-03-01T10:00:00Z"
        engineer = world.client("engineer@east")
        (notice,) = engineer.get("/api/v1/notices", params={"state": "queued"}).json()["items"]
        assert (notice["recipient"], notice["event"]) == ("r1", "news")
        assert "The crew is here" in notice["body"]

    def test_a_promise_lies_ahead_and_an_outage_that_is_over_has_none(self, world: World) -> None:
        client, path = world.client("crew@east"), "/api/v1/outages/east-outage/news"
        problem(client.post(path, json={**self.NEWS, "next_news_at": "2026-03-01T07:00:00Z"}), 422, "not-valid")
        with world.context.database.write() as connection:
            connection.execute(update(outages).values(state="restored", restored_at=NOW))
        problem(client.post(path, json=self.NEWS), 409, "conflict")


class TestQuarantine:
    def test_listing_and_replay(self, world: World) -> None:
        gateway = world.context.gateway
        assert isinstance(gateway, RecordingGateway)
        gateway.entries = [
            QuarantineEntry(2, to_millis(NOW), "a/b", b"\xff\x00", False, "bad_text", "no text"),
            QuarantineEntry(1, to_millis(NOW), "a/<b>", b"{" * 9000, False, "bad_json", "no JSON"),
        ]
        client = world.client("engineer@*")
        page = client.get("/api/v1/quarantine", params={"limit": 1}).json()
        assert (page["items"][0]["text"], page["items"][0]["base64"], page["next"]) == (None, "/wA=", "2")
        (second,) = client.get("/api/v1/quarantine", params={"cursor": "2"}).json()["items"]
        assert (second["bytes"], len(second["text"])) == (9000, 4096)
        assert client.post("/api/v1/quarantine/replay", json={"ids": [1]}).json() == {"taken": 1, "refused": 0}
        assert client.post("/api/v1/quarantine/replay", json={}).status_code == 200
        assert gateway.replayed == [[1], None]

    def test_readings_that_could_not_be_judged(self, world: World) -> None:
        for n in range(2):
            with world.context.database.write() as connection:
                keep(connection, now=NOW, device=f"d{n}", child="", error=ValueError("<no>"), reading=None)
        client = world.client("engineer@*")
        page = client.get("/api/v1/quarantine/readings", params={"limit": 1}).json()
        (older,) = client.get("/api/v1/quarantine/readings", params={"cursor": page["next"]}).json()["items"]
        assert [page["items"][0]["device"], older["device"]] == ["d1", "d0"]
        assert older["error"] == "ValueError: <no>"
        problem(world.client("engineer@east").get("/api/v1/quarantine/readings"), 403, "forbidden")

    def test_without_a_gateway_here_it_says_so(self, world: World) -> None:
        object.__setattr__(world.context, "gateway", None)
        problem(world.client("engineer@*").get("/api/v1/quarantine"), 409, "no-gateway-here")


class TestIntake:
    def batch(self, gateway: str = "gateway@*", device: str = "east-pump", seq: int = 1) -> Batch:
        at = to_millis(NOW)
        status = GatewayStatus(True, 1, 2, 0, None, 1, 0, 0, 0, 1.0)
        reading = Reading(device, "", at, at, "b", {"pressure": 1.5}, profile="pump")
        return Batch(gateway, seq, seq, at, [reading], status)

    def deliver(self, world: World, who: str, batch: Batch) -> Any:
        return world.client(who).post("/api/v1/intake", content=msgspec.json.encode(batch))

    def test_a_batch_is_committed_once_and_its_telemetry_stored(self, world: World) -> None:
        for _ in range(2):
            assert self.deliver(world, "gateway@*", self.batch()).json() == {"cursor": 1}
        asked = world.client("gateway@*").get("/api/v1/intake/cursor", params={"gateway": "gateway@*"})
        assert asked.json() == {"cursor": 1}
        query = {"device": "east-pump", "metrics": "pressure", "to": (NOW + timedelta(seconds=1)).isoformat()}
        points = world.client("crew@east").get("/api/v1/readings", params=query).json()["metrics"]["pressure"]
        assert [point["value"] for point in points] == [0.4, 1.5]

    def test_only_gateways_deliver_and_only_under_their_own_name(self, world: World) -> None:
        for who in ("admin@*", "engineer@*", "crew@east"):
            problem(self.deliver(world, who, self.batch(who)), 403, "forbidden")
        said = problem(self.deliver(world, "gateway@east", self.batch()), 403, "other-gateway")
        assert "COURTYARD_GATEWAY_ID" in said["next_step"]
        asked = world.client("gateway@east").get("/api/v1/intake/cursor", params={"gateway": "gateway@*"})
        problem(asked, 403, "other-gateway")

    def test_a_gateway_of_one_site_knows_and_serves_that_site(self, world: World) -> None:
        client = world.client("gateway@east")
        assert [one["id"] for one in client.get("/api/v1/intake/registry").json()["devices"]] == ["east-pump"]
        assert len(world.client("gateway@*").get("/api/v1/intake/registry").json()["devices"]) == 2
        assert self.deliver(world, "gateway@east", self.batch("gateway@east")).status_code == 200
        problem(self.deliver(world, "gateway@east", self.batch("gateway@east", "west-pump", 2)), 403, "other-site")

    def test_a_device_the_gateway_did_not_know_yet_is_stored_under_its_id(self, world: World) -> None:
        known = world.client("gateway@*").get("/api/v1/intake/registry").json()["devices"]
        east = next(device for device in known if device["id"] == "east-pump")
        unknown = f"{east['profile']}:{east['address']}"
        assert self.deliver(world, "gateway@*", self.batch(device=unknown)).status_code == 200
        query = {"device": "east-pump", "metrics": "pressure", "to": (NOW + timedelta(seconds=1)).isoformat()}
        points = world.client("crew@east").get("/api/v1/readings", params=query).json()["metrics"]["pressure"]
        assert [point["value"] for point in points] == [0.4, 1.5]

    def test_another_name_for_a_device_gets_no_gateway_into_another_site(self, world: World) -> None:
        known = world.client("gateway@*").get("/api/v1/intake/registry").json()["devices"]
        west = next(device for device in known if device["id"] == "west-pump")
        disguised = self.batch("gateway@east", f"{west['profile']}:{west['address']}")
        problem(self.deliver(world, "gateway@east", disguised), 403, "other-site")

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"{}",
            b"[" * 100_000,
            b'{"gateway": ' + b"[" * 50_000,
            b"\xff\xfe",
            b'{"gateway":"gateway@*","first_seq":1,"last_seq":1,"progress_at":1e400,"readings":[]}',
            b'{"gateway":"gateway@*","first_seq":"1","last_seq":1,"progress_at":1,"readings":[]}',
        ],
    )
    def test_what_is_no_batch_is_refused(self, world: World, body: bytes) -> None:
        problem(world.client("gateway@*").post("/api/v1/intake", content=body), 422, "not-valid")

    def test_its_cap_is_its_own(self, world: World) -> None:
        big = b" " * (BODY_CAP + 1)
        problem(world.client("gateway@*").post("/api/v1/intake", content=big), 422, "not-valid")
        problem(world.client("gateway@*").post("/api/v1/intake", content=b" " * (16 * 1024**2 + 1)), 413, "too-large")


class TestPeople:
    def test_adding_changing_and_disabling_somebody(self, world: World) -> None:
        admin = world.browser("admin.all")
        new = {"login": "li.wei", "password": "four quiet herons", "grants": [{"site": "east", "role": "crew"}]}
        made = admin.post("/api/v1/people", json=new)
        assert made.status_code == 201
        assert "herons" not in made.text
        problem(admin.post("/api/v1/people", json=new), 409, "conflict")
        problem(admin.post("/api/v1/people", json={**new, "login": "x y"}), 422, "not-valid")
        problem(admin.post("/api/v1/people", json={**new, "login": "chen", "password": "short"}), 422, "not-valid")
        person = f"/api/v1/people/{made.json()['id']}"
        li = world.browser("li.wei", "four quiet herons")
        assert [site["id"] for site in li.get("/api/v1/sites").json()] == ["east"]
        changed = admin.patch(person, json={"grants": [{"site": "west", "role": "engineer"}]})
        assert changed.json()["grants"] == [{"site": "west", "role": "engineer"}]
        assert li.get("/api/v1/sites").status_code == 401, "whoever gets other rights signs in anew"
        assert admin.post(f"{person}/password", json={"password": "five quiet herons"}).status_code == 204
        world.browser("li.wei", "five quiet herons")
        assert admin.get("/api/v1/people").json()["items"][-1]["login"] == "li.wei"

    def test_ones_own_password(self, world: World) -> None:
        me = world.browser("crew.east")
        wrong = me.post("/api/v1/me/password", json={"current": "wrong", "password": "four quiet herons"})
        assert wrong.status_code == 403
        right = {"current": "correct-horse-battery", "password": "four quiet herons"}
        assert me.post("/api/v1/me/password", json=right).status_code == 204
        world.browser("crew.east", "four quiet herons")

    def test_a_new_token_works_and_is_shown_once(self, world: World) -> None:
        admin = world.browser("admin.all")
        made = admin.post("/api/v1/tokens", json={"name": "report", "role": "crew", "site": "west"}).json()
        world.tokens["report"] = made["secret"]
        assert [one["id"] for one in world.client("report").get("/api/v1/devices").json()["items"]] == ["west-pump"]
        assert made["secret"] not in admin.get("/api/v1/tokens").text
        assert admin.get("/api/v1/audit/state").json()["intact"] is True


class TestHeaders:
    @pytest.mark.parametrize(
        "path", ["/api/v1/health", "/api/v1/docs", "/api/v1/nothing", "/nothing", "/api/v1/devices"]
    )
    def test_every_answer_is_guarded(self, world: World, path: str) -> None:
        headers = world.client().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers

    def test_an_unexpected_failure_says_nothing_of_the_inside(self, world: World) -> None:
        from fastapi.testclient import TestClient

        def broken() -> None:
            raise RuntimeError("the secret inside")

        object.__setattr__(world.context.clock, "now", broken)
        client = TestClient(world.app, raise_server_exceptions=False)
        client.headers["Authorization"] = f"Bearer {world.tokens['crew@east']}"
        with structlog.testing.capture_logs() as logs:
            answer = client.post("/api/v1/alarms/east-alarm/acknowledge")
        # Threads of the product may say something of their own meanwhile.
        assert [one["event"] for one in logs if one["event"].startswith("request.")] == ["request.failed"]
        problem(answer, 500, "unexpected")
        assert "secret" not in answer.text

    def test_the_docs_page_needs_nothing_from_elsewhere(self, world: World) -> None:
        page = world.client().get("/api/v1/docs")
        assert "/api/v1/tickets/{ticket}/assign" in page.text
        assert "<script" not in page.text and "style=" not in page.text
        assert "http://" not in page.text and "https://" not in page.text


class TestBodies:
    def test_a_body_beyond_the_cap_is_refused_however_it_comes(self, world: World) -> None:
        client = world.client("crew@east")
        path = "/api/v1/tickets/east-ticket/notes"
        problem(client.post(path, content=b'{"text": "' + b"x" * BODY_CAP + b'"}'), 413, "too-large")

        def pieces() -> Any:
            for _ in range(40):
                yield b" " * 10_000

        problem(client.post(path, content=pieces(), headers={"content-type": "application/json"}), 413, "too-large")

    @pytest.mark.parametrize(
        "body",
        [
            b"[" * 100_000,
            b'{"text":' * 20_000,
            b"\xff",
            b"",
            b'{"text": NaN}',
            b'{"text": 1e400}',
            b'{"text": "\\ud800"}',
        ],
    )
    def test_hostile_json_is_refused(self, world: World, body: bytes) -> None:
        client = world.client("crew@east")
        headers = {"content-type": "application/json"}
        answer = client.post("/api/v1/tickets/east-ticket/notes", content=body, headers=headers)
        assert answer.status_code in (400, 422)
        problem(answer, answer.status_code, "not-valid")

    def test_hostile_ids_are_only_words(self, world: World) -> None:
        client = world.client("crew@east")
        for id in ("'; DROP TABLE devices; --", "<script>alert(1)</script>", "\x00", "x" * 5000, "％"):
            said = problem(client.get(f"/api/v1/devices/{quote(id, safe='')}"), 404, "not-found")
            assert len(said["detail"]) < 200
        assert client.get("/api/v1/devices").json()["items"]
