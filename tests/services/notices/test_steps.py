"""Who stands on which step, and what is said where nobody does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from device_profiles.schema import Text
from services.database import Database
from services.doctor import findings
from services.doctor.findings import Level
from services.notices.plan import Audience, Recipient
from services.notices.steps import Gap, Steps, gaps, steps_of, top_step
from services.scope import EVERYWHERE
from services.tables import alarms, recipients
from tests.stories.site import MIDNIGHT, YARD, Story, opened

NOTHING = Text(zh="", en="")


def of(*people: Recipient) -> Audience:
    return Audience(site="yard", name=NOTHING, timezone="Asia/Shanghai", contact=NOTHING, recipients=people)


def on(step: int, **more: object) -> Recipient:
    said = {"id": f"r{step}", "audience": "engineers", "channel": "email", "target": "x@y.z", "step": step, **more}
    return Recipient(**said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("people", "top", "missing"),
    [
        ([], 0, []),
        ([on(0)], 0, []),
        ([on(0), on(1)], 1, []),
        ([on(0), on(2)], 2, [(1, "critical"), (1, "major")]),
        ([on(1, min_severity="critical")], 1, [(1, "major")]),
        ([on(1, about=("ticket",))], 0, []),
        ([on(1, digest="08:00")], 1, []),  # major and critical ones come at once all the same
        ([on(1, audience="crew", about=("alarm",))], 1, []),
    ],
)
def test_where_nobody_stands(people: list[Recipient], top: int, missing: list[tuple[int, str]]) -> None:
    assert top_step(of(*people)) == top
    assert [(one.step, one.severity) for one in gaps(of(*people))] == missing


def test_who_stands_on_a_step_hears_of_alarms_only_unless_they_say_more() -> None:
    from services.notices.plan import may_hear

    assert [kind for kind in ("alarm", "ticket", "outage") if may_hear(on(1), kind)] == ["alarm"]
    assert may_hear(on(1, about=("ticket",)), "ticket")
    assert may_hear(on(0), "ticket")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = opened(f"sqlite:///{tmp_path / 'steps.db'}")
    yield database
    database.close()


def test_what_has_come_to_the_last_step_is_counted(database: Database) -> None:
    Story(database, text=YARD)
    with database.write() as connection:
        assert steps_of(connection, EVERYWHERE).without == ("yard",)
        assert steps_of(connection, frozenset({"other"})) == Steps()
        connection.execute(update(recipients).where(recipients.c.id == "yard:crew").values(step=1))
        row = {"site": "yard", "device": "pumps", "profile": "pumps", "severity": "critical", "state": "active"}
        connection.execute(insert(alarms).values(id="a", rule="low", raised_at=MIDNIGHT, step=1, **row))
        connection.execute(
            insert(alarms).values(id="b", rule="gone", raised_at=MIDNIGHT, step=1, acknowledged_at=MIDNIGHT, **row)
        )
        found = steps_of(connection, EVERYWHERE)
    assert found == Steps(gaps=(Gap("yard", 1, "major"),), ended=1)


def test_the_doctor_names_the_step_that_is_missing() -> None:
    finding = findings.steps(Steps(gaps=(Gap("yard", 1, "major"),), ended=1))
    assert finding.level is Level.WARN
    assert finding.found == (
        "nobody hears of them on yard step 1 (major); 1 on the last step, and nobody has acknowledged them"
    )
    assert "min_severity" in finding.next_step
    assert findings.steps(Steps(without=("yard",))).found == "go to nobody else at yard: no recipient has a `step`"
    assert findings.steps(Steps()).level is Level.OK
