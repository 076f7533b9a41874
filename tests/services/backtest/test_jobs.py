"""Jobs: one at a time, in turns of the sites, cancelled, never for ever; in a process of their own that leaves none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Queue
from textwrap import indent
from threading import Event
from typing import Any

import pytest

from gateway.telemetry import TelemetryUnavailable
from services.backtest.apart import run_apart
from services.backtest.history import SqliteHistory
from services.backtest.jobs import (
    BROKE,
    DIED,
    MOST_KEPT,
    MOST_WAITING,
    NO_ROOM,
    STALLED,
    STALLED_AFTER,
    UNAVAILABLE,
    Backtest,
    Job,
    Jobs,
    TooManyJobs,
)
from services.backtest.lanes import Focus, Variant
from services.backtest.parallel import WorkerDied
from services.backtest.recipe import Recipe
from services.backtest.report import Cancelled, NoRoom, Progress, Report
from services.backtest.stalling import Silence, Stalled, watched
from services.metrics.parts import of_backtests
from services.rulebook.previews import Preview
from services.rules.book import RuleBook
from tests.services.backtest.large import large

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PROMPTLY = 60.0
NUMBERS = iter(range(1000))


def asked(site: str) -> Backtest:
    id = f"j{next(NUMBERS):03}"
    return Backtest(id=id, site=site, start=NOW, end=NOW, by="chen.yu", asked_at=NOW, rule="", change="")


def recipe(folder: Path = Path(), site: str = "yard") -> Recipe:
    side = Variant({}, RuleBook())
    return Recipe(
        database_url=f"sqlite:///{folder / 'courtyard.db'}",
        history=SqliteHistory(folder / "telemetry.db"),
        site=site,
        old=side,
        new=side,
        start=NOW - timedelta(days=1),
        end=NOW,
        focus=Focus("all"),
    )


def until(met: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PROMPTLY
    while not met():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.01)


class Gate:
    """A runner that runs until it is let through, and knows who was in which order."""

    def __init__(self) -> None:
        self.open = Event()
        self.jobs = Jobs(self)
        self.seen: list[str] = []

    def __call__(self, recipe: Recipe, told: Callable[[Progress], None], stopping: Event) -> Report:
        self.seen.append(recipe.site)
        told(Progress(7, 0, 0.5))
        while not self.open.wait(0.005):
            if stopping.is_set():
                raise Cancelled
        raise ValueError("it was only a test")

    def ask(self, site: str) -> Backtest:
        return self.jobs.start(asked(site), recipe(site=site))


@pytest.fixture
def gate() -> Iterator[Gate]:
    found = Gate()
    yield found
    found.jobs.close()


def test_a_site_that_asks_for_much_does_not_keep_the_others_waiting(gate: Gate) -> None:
    greedy = [gate.ask("greedy") for _ in range(MOST_WAITING)]
    until(lambda: greedy[0].state == "running")
    with pytest.raises(TooManyJobs, match="4 backtests of this site"):
        gate.ask("greedy")
    modest = gate.ask("modest")
    until(lambda: greedy[0].readings == 7)  # told a moment after it began to run
    gate.open.set()
    until(lambda: all(job.is_over for job in (*greedy, modest)))
    assert gate.seen == ["greedy", "modest", "greedy", "greedy", "greedy"]
    assert {job.error for job in greedy} == {"it was only a test"}


def test_what_waits_is_cancelled_at_once_and_what_runs_soon(gate: Gate) -> None:
    first, second, third = (gate.ask("yard") for _ in range(3))
    until(lambda: first.state == "running")
    gate.jobs.cancel(second.id)
    assert second.state == "cancelled"
    gate.jobs.cancel(first.id)
    until(lambda: third.state == "running")
    assert first.state == "cancelled"
    assert gate.jobs.of_sites(frozenset({"yard"}), Backtest) == [third, second, first]
    assert gate.jobs.of_sites(frozenset({"other"}), Job) == []
    assert gate.jobs.get(first.id, Preview) is None, "a backtest is no preview"


def test_the_oldest_are_forgotten_of_each_site(gate: Gate) -> None:
    gate.open.set()
    other = gate.ask("other")
    jobs: list[Backtest] = []
    for _ in range(MOST_KEPT + 2):
        jobs.append(gate.ask("yard"))
        until(lambda: jobs[-1].is_over)
    assert gate.jobs.get(jobs[0].id, Job) is None
    assert gate.jobs.get(jobs[-1].id, Job) is jobs[-1]
    assert gate.jobs.get(other.id, Job) is other


@pytest.mark.parametrize(
    ("error", "said", "ending"),
    [
        (TelemetryUnavailable("no answer"), UNAVAILABLE, "unavailable"),
        (WorkerDied("exit code -9"), DIED, "died"),
        (Stalled(timedelta(minutes=10)), STALLED, "stalled"),
        (NoRoom("the disk is full"), NO_ROOM, "no_room"),
        (ZeroDivisionError(), BROKE, "broke"),
    ],
)
def test_what_goes_wrong_is_said_counted_and_the_next_one_runs(error: Exception, said: str, ending: str) -> None:
    answers: list[Exception | Report] = [error, large(devices=1, episodes_each=1)]

    def fails_once(*_asked: Any) -> Report:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    jobs = Jobs(fails_once)
    job, after = (jobs.start(asked("yard"), recipe()) for _ in range(2))
    until(lambda: after.is_over)
    assert (job.state, job.error, after.state) == ("failed", said, "done")
    counted = {one.labels: one.value for one in of_backtests(jobs)()}
    assert {labels: value for labels, value in counted.items() if value} == {(ending,): 1, ("done",): 1}
    assert len(counted) == 8, "all outcomes are there from the start"


def test_results_of_all_sites_have_one_bound_and_the_oldest_of_who_holds_most_go() -> None:
    result = large(devices=1, episodes_each=12)
    jobs = Jobs(lambda *_: result, most_lines=4 * result.lines - 1)

    def done(site: str) -> Backtest:
        job = jobs.start(asked(site), recipe(site=site))
        until(lambda: job.is_over)
        assert job.state == "done", job.error
        return job

    modest = done("modest")
    greedy = [done("greedy") for _ in range(6)]
    kept = [one for one in (modest, *greedy) if jobs.get(one.id, Job) is one]
    assert kept == [modest, *greedy[-2:]], "the modest one's result is not pushed out"
    alone = Jobs(lambda *_: result, most_lines=1)
    job = alone.start(asked("yard"), recipe())
    until(lambda: job.is_over)
    assert alone.get(job.id, Job) is job, "however large, the newest stays to be read"


# --- a process of its own ----------------------------------------


class Endless(Recipe):
    """Tells which process it is and how nice, without an end."""

    def run(self, told: Callable[[Progress], None]) -> Report:
        while True:
            told(Progress(os.getpid(), 0, os.nice(0) / 100))
            time.sleep(0.005)


class Stuck(Recipe):
    """Tells which process it is, and then nothing any more."""

    def run(self, told: Callable[[Progress], None]) -> Report:
        told(Progress(os.getpid(), 0, 0.5))
        while True:
            time.sleep(1)


def endless(kind: type[Recipe] = Endless) -> Recipe:
    plain = recipe()
    return kind(**{name: getattr(plain, name) for name in plain.__dataclass_fields__})


def is_gone(pid: int) -> bool:
    with suppress(ProcessLookupError, FileNotFoundError):  # it may go between the two looks
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z"
    return True


def running(jobs: Jobs, what: Recipe) -> Backtest:
    job = jobs.start(asked("yard"), what)
    until(lambda: job.readings or job.is_over)
    assert job.state == "running", job.error
    return job


def test_it_runs_apart_gives_way_is_cancelled_and_its_death_is_seen() -> None:
    jobs = Jobs()
    job = running(jobs, endless())
    assert job.readings != os.getpid(), "its number is told as readings"
    assert job.share >= (os.nice(0) + 10) / 100 or os.nice(0) > 9
    jobs.cancel(job.id)
    until(lambda: job.is_over)
    assert job.state == "cancelled"
    until(lambda: is_gone(job.readings))

    job = running(jobs, endless(Stuck))
    os.kill(job.readings, signal.SIGKILL)  # as Linux does where memory ends
    until(lambda: job.is_over)
    assert (job.state, job.error) == ("failed", DIED)


def test_one_that_stops_reporting_is_ended_with_its_process() -> None:
    told: list[int] = []
    with pytest.raises(Stalled, match=r"no further for 1 s .* run `courtyard doctor`"):
        run_apart(endless(Stuck), lambda progress: told.append(progress.readings), Event(), timedelta(seconds=1))
    assert all(map(is_gone, told))


def test_every_word_of_progress_gives_it_the_whole_time_again() -> None:
    silence = Silence(timedelta(seconds=10))
    assert not any(silence.went_on(1) for _ in range(10))
    silence.ended()
    assert [silence.went_on(1) for _ in range(11)] == [False] * 10 + [True]


def test_who_watches_hears_of_it_once() -> None:
    found: Queue[Stalled] = Queue()
    with watched(timedelta(0), found.put):
        assert "no further" in str(found.get(timeout=PROMPTLY))
    with watched(timedelta(hours=1), found.put) as alive:
        alive()
    assert found.empty()


def test_time_left_is_said_once_there_is_something_to_tell_it_by() -> None:
    assert Progress(10, 0, 0.25, 30.0).left == timedelta(seconds=90)
    assert Progress(10, 0, 0.001, 30.0).left is None
    assert Progress(10, 0, 0.25, 0.5).left is None


def test_what_is_refused_there_is_said_here(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no time series at"):
        run_apart(recipe(tmp_path), lambda _told: None, Event(), STALLED_AFTER)


SERVICES = """
import sys, time
from tests.services.backtest.test_jobs import Jobs, endless, running
jobs = Jobs()
print(running(jobs, endless()).readings, flush=True)
if sys.argv[1] == "ends":
    raise SystemExit
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["ends", "SIGKILL"])
def test_when_services_end_no_process_stays(how: str, tmp_path: Path) -> None:
    script = tmp_path / "services_of_a_test.py"
    script.write_text("if __name__ == '__main__':\n" + indent(SERVICES, "    "))
    root = str(Path(__file__).parents[3])
    with subprocess.Popen(
        [sys.executable, str(script), how], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
    ) as services:
        assert services.stdout is not None
        worker = int(services.stdout.readline())
        if how != "ends":
            services.send_signal(getattr(signal, how))
        services.wait(PROMPTLY)
    until(lambda: is_gone(worker))
