"""The web pages, in Chinese and English: one module per page."""

from __future__ import annotations

from fastapi import APIRouter

from services.web.pages import (
    account,
    alarms,
    backtest,
    board,
    commands,
    devices,
    fares,
    login,
    maintenance,
    notices,
    public,
    quarantine,
    rule_edit,
    rule_versions,
    rules,
    tickets,
    try_profile,
    unclaimed,
)

router = APIRouter(include_in_schema=False)
for _module in (
    board,
    devices,
    commands,
    alarms,
    maintenance,
    backtest,  # these three before the rules: /rules/backtest/ID is no rule of a profile
    rule_versions,
    rule_edit,
    rules,
    tickets,
    notices,
    quarantine,
    fares,
    unclaimed,
    try_profile,
    login,
    account,
    public,
):
    router.include_router(_module.router)
