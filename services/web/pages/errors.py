"""What people see when something is refused, missing or broken."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import Response

from services.web.i18n import N_
from services.web.pages.render import reader_of, render
from services.web.problems import Problem

_WORDS = {
    403: (N_("Not for you"), N_("Your account does not have the role that this page needs. Ask an admin for it.")),
    404: (N_("Nothing here"), N_("There is no such page, or you may not see it. It may have been removed.")),
    405: (N_("That cannot be done here"), N_("Go back and try it from the page itself.")),
    409: (N_("That cannot be done now"), N_("Somebody may have changed it meanwhile. Load the page again.")),
    422: (N_("That was not understood"), N_("Something in the address or the form is not as expected.")),
    500: (N_("Something went wrong"), N_("It is not your fault. Try again; the server's log has the reason.")),
    503: (N_("Not available at the moment"), N_("A part of Courtyard does not answer. Try again in a minute.")),
}
_CSRF = (N_("The form is too old"), N_("You may have signed in anew meanwhile. Load the page again and retry."))
_PUBLIC_404 = (N_("No such community"), N_("Look at the address again, or ask your service desk for it."))


def install(app: FastAPI) -> None:
    """Gives `services.web.problems` its page."""
    app.state.error_page = error_page


def error_page(request: Request, problem: Problem, title: str) -> Response:
    """Without the principal: whatever failed may be what would find it."""
    public = request.url.path.startswith("/public/")
    heading, text = _WORDS.get(problem.status, (title, problem.next_step))
    if problem.type == "csrf":
        heading, text = _CSRF
    if public and problem.status == 404:
        heading, text = _PUBLIC_404
    response = render(
        request, "error.html", reader_of(request), status=problem.status, heading=heading, text=text, public=public
    )
    for name, value in problem.headers.items():
        response.headers[name] = value
    return response
