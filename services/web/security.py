"""The one door: who is asking, and whether a route lets them in.

Every route says in code what it needs: `Depends(requires(Role.CREW))`, `Depends(requires_everywhere(Role.ADMIN))` or
`Depends(public())`. `refuse_undeclared` stops the start of an app in which a route says nothing.

The principal a route gets is narrowed to its need: `principal.scope` holds the sites where this person has at least the
role asked for, so a crew member of one site who is engineer at another sees only the other in an engineer's route.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote, urlsplit

from fastapi import Depends, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, Mount

from services.accounts import store
from services.accounts.policy import SESSION_LONGEST, Grant, Role, may, scope_of, token_login
from services.context import Context
from services.scope import Scope
from services.web.problems import Problem

COOKIE = "courtyard_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Principal:
    """Who is asking: a person with a session, or a program with a token."""

    kind: Literal["person", "token"]
    id: str
    login: str
    """What stands in tickets and alarms as the one who did it: a person's login, or "token:<name>"."""
    name: str
    """A person's name (or login), a token's name."""
    grants: tuple[Grant, ...]
    scope: Scope = frozenset()
    """Where the role that the route needs holds: None is every site."""
    csrf: str = ""
    """What forms (field `csrf`) and scripts (header `X-CSRF-Token`) of this session must send along."""
    language: str = ""

    def may(self, role: Role, site: str) -> bool:
        return may(self.grants, role, site)

    def narrowed(self, role: Role) -> Principal:
        return replace(self, scope=scope_of(self.grants, role))


def get_context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


# --- what a route may declare ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Access:
    """What a route needs. `role` None: nothing, it is public."""

    role: Role | None
    everywhere: bool = False

    def __str__(self) -> str:
        return "public" if self.role is None else f"{self.role.value}{' of every site' if self.everywhere else ''}"


def requires(role: Role) -> Callable[[Request], Awaitable[Principal]]:
    """Only for those who have `role` (or one that includes it) at one site at least."""

    async def enter(request: Request) -> Principal:
        return await _enter(request, Access(role))

    return _declared(enter, Access(role))


def requires_everywhere(role: Role) -> Callable[[Request], Awaitable[Principal]]:
    """Only for those who have `role` at every site: people, tokens, and what belongs to no site."""

    async def enter(request: Request) -> Principal:
        return await _enter(request, Access(role, everywhere=True))

    return _declared(enter, Access(role, everywhere=True))


def public() -> Callable[[Request], Awaitable[Principal | None]]:
    """For everybody. Gives the principal when somebody is signed in (not narrowed: `scope` is empty), else None."""

    async def enter(request: Request) -> Principal | None:
        return await identify(request)

    return _declared(enter, Access(None))


_D = TypeVar("_D", bound=Callable[..., Any])


def _declared(enter: _D, access: Access) -> _D:
    enter.courtyard_access = access  # type: ignore[attr-defined]
    return enter


ContextOf = Annotated[Context, Depends(get_context)]
Anybody = Annotated[Principal | None, Depends(public())]
Crew = Annotated[Principal, Depends(requires(Role.CREW))]
Engineer = Annotated[Principal, Depends(requires(Role.ENGINEER))]
GlobalAdmin = Annotated[Principal, Depends(requires_everywhere(Role.ADMIN))]
Gateway = Annotated[Principal, Depends(requires(Role.GATEWAY))]


# --- who is asking --------------------------------------------------------------------------------------------------


async def identify(request: Request) -> Principal | None:
    """The principal of a bearer token or a session cookie; None when there is neither, or it has ended."""
    authorization = request.headers.get("authorization")
    if authorization is not None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        return await run_in_threadpool(_of_token, get_context(request), secret.strip())
    cookie = request.cookies.get(COOKIE)
    return await run_in_threadpool(_of_session, get_context(request), cookie) if cookie else None


def _of_token(context: Context, secret: str) -> Principal | None:
    with context.database.read() as connection:
        token = store.find_token(connection, secret)
    if token is None:
        return None
    return Principal("token", token.id, token_login(token.name), token.name, (Grant(token.site, token.role),))


def _of_session(context: Context, secret: str) -> Principal | None:
    with context.database.read() as connection:
        session = store.find_session(connection, secret, context.clock.now())
    if session is None:
        return None
    if session.renew_until:
        with context.database.write() as connection:
            store.renew_session(connection, secret, session.renew_until)
    person = session.person
    return Principal(
        "person",
        person.id,
        person.login,
        person.name or person.login,
        person.grants,
        csrf=session.csrf,
        language=person.language,
    )


async def _enter(request: Request, access: Access) -> Principal:
    principal = await identify(request)
    if principal is None:
        raise _sign_in_first(request)
    if principal.kind == "person" and request.method not in _SAFE:
        await _check_csrf(request, principal.csrf)
    assert access.role is not None
    narrowed = principal.narrowed(access.role)
    if narrowed.scope is not None and (access.everywhere or not narrowed.scope):
        raise Problem(403, "forbidden", f"This needs the role {access}.", "Ask an admin for this role.")
    return narrowed


async def _check_csrf(request: Request, expected: str) -> None:
    given: object = request.headers.get(CSRF_HEADER)
    if given is None and "form" in request.headers.get("content-type", ""):
        given = (await request.form()).get(CSRF_FIELD)
    if not isinstance(given, str) or not secrets.compare_digest(given.encode(), expected.encode()):
        raise Problem(403, "csrf", "The form came without this session's token.", "Load the page again and retry.")


def _sign_in_first(request: Request) -> Problem:
    """A browser is led to the sign-in page, a program gets a 401."""
    headers = {"WWW-Authenticate": "Bearer"}
    location = f"/login?next={quote(_here(request), safe='/')}"
    if request.headers.get("hx-request"):
        headers["HX-Redirect"] = location
    elif not request.url.path.startswith("/api/") and "text/html" in request.headers.get("accept", ""):
        return Problem(303, "sign-in", "Sign in first.", "Sign in.", {"Location": location})
    next_step = "Send `Authorization: Bearer …` with a token (courtyard token create), or sign in."
    return Problem(401, "sign-in", "Nobody is signed in here.", next_step, headers)


def _here(request: Request) -> str:
    if request.method not in _SAFE:
        return "/"
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def safe_next(target: str | None) -> str:
    """Where to go after signing in: a path of this site, never elsewhere."""
    if not target or not target.startswith("/") or target.startswith("//") or not target.isprintable():
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc or "\\" in target else target


# --- the session cookie ---------------------------------------------------------------------------------------------


def set_session_cookie(response: Response, context: Context, secret: str) -> None:
    response.set_cookie(
        COOKIE,
        secret,
        max_age=int(SESSION_LONGEST.total_seconds()),  # the server ends it sooner; see policy.SESSION_IDLE
        httponly=True,
        samesite="lax",
        secure=context.settings.effective_public_url.startswith("https://"),
        path="/",
    )


def clear_session_cookie(response: Response) -> None:
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")


# --- nothing undeclared ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Declared:
    """One route and what it needs."""

    path: str
    methods: frozenset[str]
    access: Access


class UndeclaredRoute(Exception):
    """A route says neither what role it needs nor that it is public."""


def declared_routes(app: FastAPI) -> Iterator[Declared]:
    """Every route with its access; raises UndeclaredRoute at the first that declares none."""
    for route in iter_route_contexts(app.routes):
        if _is_static(route.original_route):
            continue
        dependant = getattr(route, "dependant", None)
        found = list(_accesses(dependant)) if isinstance(dependant, Dependant) else []
        if not found:
            raise UndeclaredRoute(f"{sorted(route.methods or ())} {route.path} declares no access; see {__name__}")
        yield Declared(route.path or "", frozenset(route.methods or ()), max(found, key=lambda a: a.role is not None))


def refuse_undeclared(app: FastAPI) -> None:
    for _ in declared_routes(app):
        pass


def _accesses(dependant: Dependant) -> Iterator[Access]:
    access = getattr(dependant.call, "courtyard_access", None)
    if isinstance(access, Access):
        yield access
    for inner in dependant.dependencies:
        yield from _accesses(inner)


def _is_static(route: BaseRoute) -> bool:
    """Files shipped with the product hold nothing private."""
    return isinstance(route, Mount) and isinstance(route.app, StaticFiles)
