"""The web pages, in Chinese and English: one module per page."""

from __future__ import annotations

from fastapi import APIRouter

from services.web.pages import account, alarms, board, devices, login, notices, public, quarantine, tickets

router = APIRouter(include_in_schema=False)
for _module in (board, devices, alarms, tickets, notices, quarantine, login, account, public):
    router.include_router(_module.router)
