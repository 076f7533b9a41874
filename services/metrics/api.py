"""/metrics on the pages' own port: for tokens of engineers of every site."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Response

from services.accounts.policy import Role
from services.web.security import ContextOf, Principal, requires_everywhere

router = APIRouter(include_in_schema=False)
# What is counted is counted over all sites.
GlobalEngineer = Annotated[Principal, Depends(requires_everywhere(Role.ENGINEER))]


@router.get("/metrics")
def metrics(context: ContextOf, _: GlobalEngineer, accept: Annotated[str, Header(max_length=500)] = "") -> Response:
    """Figures of the product itself, as Prometheus reads them."""
    from services.metrics.exposition import exposed  # takes a tenth of a second to import, and few ask

    body, media_type = exposed(context.metrics, accept)
    return Response(body, media_type=media_type, headers={"Content-Type": media_type})
