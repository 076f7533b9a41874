"""One's own account: the password, and the language of the pages."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from services.accounts import desk
from services.accounts.desk import AccountMistake
from services.context import Context
from services.web.i18n import N_
from services.web.pages.render import LANGUAGE_COOKIE, reader_of, render
from services.web.problems import Problem
from services.web.security import ContextOf, Crew, Principal

router = APIRouter(include_in_schema=False)
Password = Annotated[str, Form(max_length=1000)]

WRONG = N_("The current password is not right.")
TWO = N_("The two new passwords differ.")
WEAK = N_("The new password is too easy: take at least 10 characters that are not your login.")


@router.get("/account")
def account(request: Request, principal: Crew) -> Response:
    return render(request, "account.html", reader_of(request, principal), mistake="")


@router.post("/account/password")
def change_password(
    request: Request, context: ContextOf, principal: Crew, current: Password, new: Password, again: Password
) -> Response:
    """Ends all sessions of this person, so that the next step is to sign in with the new password."""
    address = request.client.host if request.client else ""
    mistake = _mistake(context, principal, address, current, new, again)
    if mistake:
        return render(request, "account.html", reader_of(request, principal), status=422, mistake=mistake)
    return RedirectResponse("/login", status_code=303)


@router.post("/account/language")
def change_language(context: ContextOf, principal: Crew, language: Annotated[Literal["zh", "en"], Form()]) -> Response:
    _person_only(principal)
    desk.change_person(context.database, principal.id, language=language, now=context.clock.now(), who=principal.id)
    answer = RedirectResponse("/account", status_code=303)
    answer.delete_cookie(LANGUAGE_COOKIE, path="/")
    return answer


def _mistake(context: Context, principal: Principal, address: str, current: str, new: str, again: str) -> str:
    """Changes the password, or says why not."""
    _person_only(principal)
    now = context.clock.now()
    # Too many guesses are answered like a wrong one: whoever guesses need not know that it was not looked at.
    if desk.confirm_password(context.database, login=principal.login, password=current, address=address, now=now):
        return WRONG
    if new != again:
        return TWO
    try:
        desk.set_password(context.database, principal.id, new, now=now, who=principal.id)
    except AccountMistake:
        return WEAK
    return ""


def _person_only(principal: Principal) -> None:
    if principal.kind != "person":
        raise Problem(403, "forbidden", "A token has no account.", "Sign in as a person.")
