"""Grafana's role in PostgreSQL reads what the dashboards ask, and nothing that they do not."""

from __future__ import annotations

import re

import services.tables  # noqa: F401 - fills the metadata
from dashboards.build import GENERATED
from services.database import metadata
from services.stack.reader import READABLE


def test_no_table_is_read_that_no_dashboard_asks() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in GENERATED.rglob("*.json"))
    asked = set(re.findall(r"\b(?:FROM|JOIN) ([a-z_]+)\b", text))
    assert asked & metadata.tables.keys() == set(READABLE)
