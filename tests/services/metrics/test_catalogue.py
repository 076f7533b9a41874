"""docs/metrics.md, alerts and the dashboard speak of metrics that there are, named as Prometheus asks."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dashboards import product
from gateway.decode import errors
from gateway.metrics import DECODE_CODES
from services.metrics.catalogue import ALL, series_of
from tests.needs import missing

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy/prometheus"
SERIES = {name for metric in ALL for name in series_of(metric)}
UNITS = ("_seconds", "_bytes", "_ratio")


def rows() -> dict[str, tuple[str, tuple[str, ...], str, str]]:
    found = {}
    for line in (ROOT / "docs/metrics.md").read_text().splitlines():
        if line.startswith("| `courtyard_"):
            name, kind, labels, about, todo = (cell.strip() for cell in line.strip("|").split(" | "))
            found[name.strip("` ")] = (kind, tuple(re.findall(r"`(\w+)`", labels)), about, todo)
    return found


def test_the_page_lists_every_metric_as_it_is_exposed() -> None:
    page = rows()
    assert list(page) == [metric.name for metric in ALL]
    for metric in ALL:
        kind, labels, about, todo = page[metric.name]
        assert (kind, labels, about) == (metric.kind, metric.labels, metric.about)
        assert todo.endswith((".", "?")) and len(todo) > 5, f"{metric.name}: what to do?"


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric: object) -> None:
    from gateway.measure import Metric

    assert isinstance(metric, Metric)
    assert re.fullmatch(r"courtyard_[a-z]+(_[a-z]+)*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.kind != "histogram" or metric.name.endswith(UNITS)
    assert metric.about.endswith(".")
    forbidden = {"device", "topic", "child", "person", "login", "site", "address"}
    assert not forbidden & set(metric.labels), "labels name nobody and have few values"


def test_codes_of_the_decoder_are_all_shown_from_the_start() -> None:
    text = errors.DecodeError.__doc__ or ""
    listed = text.partition("quarantine:")[2].replace("\n", " ").strip().rstrip(".")
    assert {re.sub(r"\(.*?\)", "", one).strip() for one in listed.split(",")} == set(DECODE_CODES)


def known_in(text: str) -> set[str]:
    return set(re.findall(r"\bcourtyard_\w+", text))


def alerts() -> list[dict[str, object]]:
    groups = YAML(typ="safe").load(DEPLOY / "alerts.yml")["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_alerts_ask_for_metrics_that_there_are_and_speak_two_languages() -> None:
    for rule in alerts():
        assert known_in(str(rule["expr"])) <= SERIES, rule["alert"]
        notes = rule["annotations"]
        assert isinstance(notes, dict)
        assert re.search("[\u4e00-\u9fff]", notes["summary_zh"]), rule["alert"]
        assert notes["summary"].isascii(), rule["alert"]


def test_runbooks_of_alerts_are_there() -> None:
    for rule in alerts():
        notes = rule["annotations"]
        assert isinstance(notes, dict)
        page, _, anchor = notes["runbook"].partition("#")
        assert anchor in anchors(ROOT / page), f"{rule['alert']}: {notes['runbook']}"


def anchors(page: Path) -> set[str]:
    text = page.read_text()
    named = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    heads = re.findall(r"^#+ (.+)$", text, re.M)
    return named | {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def test_links_of_the_page_lead_to_sections_that_there_are() -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    for page, anchor in re.findall(r"\]\((\w*\.?m?d?)#([\w-]+)\)", text):
        assert anchor in anchors(ROOT / "docs" / (page or "metrics.md")), f"{page}#{anchor}"


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_dashboard_asks_for_metrics_that_there_are(language: str) -> None:
    asked = known_in(str([panel.get("targets") for panel in product.build(language)["panels"]]))
    assert asked <= SERIES, asked - SERIES
    assert len(asked) > 30


@pytest.mark.parametrize("check", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]])
def test_prometheus_takes_the_example_and_every_alert_fires_on_its_day(check: list[str]) -> None:
    if shutil.which("promtool") is None:
        missing("promtool is not installed; on Debian: apt-get install prometheus")
    run = subprocess.run(["promtool", *check], cwd=DEPLOY, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_alert_has_its_day() -> None:
    days = YAML(typ="safe").load(DEPLOY / "alerts_test.yml")["tests"]
    shown = {re.search(r'alertname="(\w+)"', day["promql_expr_test"][0]["expr"]).group(1) for day in days}  # type: ignore[union-attr]
    assert shown == {rule["alert"] for rule in alerts()}
