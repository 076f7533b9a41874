"""Signing in and out, as browsers do it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient

from services.accounts import desk
from services.web.security import COOKIE, safe_next
from tests.services.web.world import NOW, PASSWORD, World


def sign_in(world: World, login: str = "crew.east", password: str = PASSWORD, **form: str) -> tuple[TestClient, Any]:
    client = TestClient(world.app, follow_redirects=False)
    return client, client.post("/login", data={"login": login, "password": password, **form})


def test_signing_in_sets_a_careful_cookie_and_goes_on(world: World) -> None:
    client, answer = sign_in(world, next="/tickets?state=open")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/tickets?state=open"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"{COOKIE}=")
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Path=/" in cookie
    assert client.get("/api/v1/me").json()["login"] == "crew.east"


def test_the_cookie_is_secure_where_pages_are(world: World) -> None:
    assert "Secure" not in sign_in(world)[1].headers["set-cookie"]
    settings = world.context.settings.model_copy(update={"public_url": "https://courtyard.example"})
    object.__setattr__(world.context, "settings", settings)
    assert "Secure" in sign_in(world)[1].headers["set-cookie"]


def test_wrong_and_unknown_get_the_same_answer(world: World) -> None:
    wrong, unknown = sign_in(world, password="no")[1], sign_in(world, login="nobody")[1]
    assert wrong.status_code == unknown.status_code == 303
    assert wrong.headers["location"] == unknown.headers["location"] == "/login?error=wrong&next=/"
    assert "set-cookie" not in wrong.headers


def test_guessing_has_to_wait(world: World) -> None:
    for _ in range(5):
        sign_in(world, password="no")
    asked = parse_qs(urlsplit(sign_in(world)[1].headers["location"]).query)
    assert asked["error"] == ["wait"]
    assert int(asked["seconds"][0]) >= 1
    world.clock.go(minutes=2)
    assert sign_in(world)[1].headers["location"] == "/"


def test_signing_in_rotates_the_session(world: World) -> None:
    client, _ = sign_in(world)
    before = client.cookies[COOKIE]
    client.post("/login", data={"login": "crew.east", "password": PASSWORD})
    assert client.cookies[COOKIE] != before
    with TestClient(world.app, cookies={COOKIE: before}) as old:
        assert old.get("/api/v1/me").status_code == 401


def test_a_session_slides_for_twelve_hours(world: World) -> None:
    client, _ = sign_in(world)
    for _ in range(3):
        world.clock.go(hours=11)
        assert client.get("/api/v1/me").status_code == 200
    world.clock.go(hours=12, seconds=1)
    assert client.get("/api/v1/me").status_code == 401


def test_signing_out_ends_it_on_the_server(world: World) -> None:
    client = world.browser("crew.east")
    secret = client.cookies[COOKIE]
    answer = client.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert COOKIE not in client.cookies
    client.cookies.set(COOKIE, secret)
    assert client.get("/api/v1/me").status_code == 401


class TestCsrf:
    def acknowledge(self, client: TestClient, **kwargs: Any) -> int:
        return client.post("/api/v1/alarms/east-alarm/acknowledge", **kwargs).status_code

    def test_a_change_needs_the_sessions_token(self, world: World) -> None:
        client = world.browser("crew.east")
        good = client.headers.pop("X-CSRF-Token")
        other = world.browser("crew.all").headers["X-CSRF-Token"]
        assert self.acknowledge(client) == 403
        assert self.acknowledge(client, headers={"X-CSRF-Token": other}) == 403
        assert self.acknowledge(client, headers={"X-CSRF-Token": ""}) == 403
        assert self.acknowledge(client, data={"csrf": "guess"}) == 403
        assert self.acknowledge(client, params={"csrf": good}) == 403, "URLs end up in logs"
        assert self.acknowledge(client, headers={"X-CSRF-Token": good}) == 200

    def test_a_form_may_carry_it_as_a_field(self, world: World) -> None:
        client = world.browser("crew.east")
        token = client.headers.pop("X-CSRF-Token")
        assert client.post("/logout", data={"csrf": "guess"}).status_code == 403
        assert client.post("/logout", files={"csrf": (None, token)}).status_code == 303

    def test_reading_needs_none_and_tokens_need_none(self, world: World) -> None:
        client = world.browser("crew.east")
        del client.headers["X-CSRF-Token"]
        assert client.get("/api/v1/alarms").status_code == 200
        assert self.acknowledge(world.client("crew@east")) == 200

    @pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
    def test_every_unsafe_method_is_covered(self, world: World, method: str) -> None:
        client = world.browser("admin.all")
        del client.headers["X-CSRF-Token"]
        path = {"POST": "/api/v1/tokens", "PATCH": "/api/v1/people/x", "DELETE": "/api/v1/tokens/x"}[method]
        body = {"name": "x", "role": "crew"} if method == "POST" else {} if method == "PATCH" else None
        answer = client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["type"]) == (403, "csrf")

    @pytest.mark.parametrize(
        "headers",
        [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}],
    )
    def test_another_web_site_cannot_send_the_sign_in_form(self, world: World, headers: dict[str, str]) -> None:
        client = TestClient(world.app, follow_redirects=False, headers=headers)
        answer = client.post("/login", data={"login": "crew.east", "password": PASSWORD})
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers

    def test_our_own_page_can(self, world: World) -> None:
        for headers in ({"Origin": "http://testserver"}, {"Sec-Fetch-Site": "same-origin"}):
            client = TestClient(world.app, follow_redirects=False, headers=headers)
            assert client.post("/login", data={"login": "crew.east", "password": PASSWORD}).status_code == 303


class TestDoor:
    def test_pages_lead_to_the_sign_in_page_and_back(self, world: World) -> None:
        client = TestClient(world.app, follow_redirects=False, headers={"Accept": "text/html"})
        answer = client.get("/?site=east")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/login?next=/%3Fsite%3Deast"

    def test_programs_get_a_401_that_teaches(self, world: World) -> None:
        answer = TestClient(world.app, headers={"Accept": "text/html"}).get("/api/v1/devices")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "courtyard token create" in answer.json()["next_step"]

    def test_htmx_is_sent_to_the_sign_in_page(self, world: World) -> None:
        answer = TestClient(world.app, headers={"Accept": "text/html", "HX-Request": "true"}).get("/?site=east")
        assert answer.status_code == 401
        assert answer.headers["hx-redirect"] == "/login?next=/%3Fsite%3Deast"

    @pytest.mark.parametrize(
        "authorization",
        ["Bearer", "Bearer ", "Bearer nonsense", "Basic YWRtaW46YWRtaW4=", "nonsense", "Bearer x" + "y" * 5000],
    )
    def test_a_bad_authorization_is_not_rescued_by_a_cookie(self, world: World, authorization: str) -> None:
        client = world.browser("admin.all")
        assert client.get("/api/v1/me", headers={"Authorization": authorization}).status_code == 401

    def test_a_revoked_token_is_out_at_once(self, world: World) -> None:
        client = world.client("crew@east")
        assert client.get("/api/v1/me").status_code == 200
        admin = world.browser("admin.all")
        (token,) = [one for one in admin.get("/api/v1/tokens").json() if one["name"] == "crew@east"]
        assert admin.delete(f"/api/v1/tokens/{token['id']}").status_code == 204
        assert client.get("/api/v1/me").status_code == 401

    def test_a_disabled_person_is_out_at_once(self, world: World) -> None:
        client = world.browser("crew.east")
        person = world.context
        with person.database.read() as connection:
            from services.accounts import store

            found = store.person_by_login(connection, "crew.east")
        assert found
        desk.change_person(world.context.database, found[0].id, now=NOW, who=None, disabled=True)
        assert client.get("/api/v1/me").status_code == 401
        assert sign_in(world)[1].headers["location"].startswith("/login?error=wrong")


@pytest.mark.parametrize(
    "target",
    ["https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example", "javascript:alert(1)", "", None,
     "/a\r\nSet-Cookie: x=1", "/\t/evil.example", "tickets"],
)  # fmt: skip
def test_after_signing_in_nobody_is_led_elsewhere(target: str | None) -> None:
    assert safe_next(target) == "/"


def test_paths_of_our_own_are_kept() -> None:
    assert safe_next("/tickets/7?tab=notes") == "/tickets/7?tab=notes"
