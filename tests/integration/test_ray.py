"""A study on workers of Ray, and on processes of this machine, that are killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from outfield.errors import MissingExtra, UserError
from outfield.features.cache import Cache
from outfield.store.query import MissingRowsWarning
from outfield.studies import sharding
from outfield.studies.executors.base import Deaths, Done, Event, Executor, Failed, Notify, Work, of
from outfield.studies.executors.ray import Ray
from outfield.studies.run import Outcome, run
from outfield.studies.spec import Resources, Spec
from tests.support import assert_close, rows_of, run_small, small_study

EXECUTORS = ("local", "ray")
pytestmark = [
    pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning"),  # of a Ray started again
    pytest.mark.xdist_group("ray"),  # one Ray, not one for each process of the tests
]


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    """One Ray for all tests: executors use the one that they find."""
    pytest.importorskip("ray", reason="the extra ray is not installed")
    with Ray(processes=2)._connected():
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    """The rows that one process makes."""
    return rows_of(run_small(tmp_path_factory.mktemp("alone")).check().folder)


def two(executor: str, **given: Any) -> Executor:
    return of(Resources(executor=executor, processes=2, **given))


@dataclass(frozen=True)
class Deadly:
    """Work whose process kills itself when a task comes to its ``done``-th job: once, or whenever it is tried."""

    work: Work
    place: Path
    model: str
    done: int
    always: bool = False

    def __call__(self, task: Any, notify: Notify) -> Any:
        def told(event: Event) -> None:
            notify(event)
            struck = self.place / "struck"
            if (event.task, event.stage, event.done) == (self.model, "scoring", self.done) and (
                self.always or not struck.exists()
            ):
                struck.touch()
                os.kill(os.getpid(), signal.SIGKILL)

        return self.work(task, told)


@dataclass(frozen=True)
class Struck(Executor):
    """An executor whose work is deadly."""

    inner: Executor
    place: Path
    model: str
    done: int
    always: bool = False

    def run(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        return self.inner.run(Deadly(work, self.place, self.model, self.done, self.always), tasks, notify)


def run_struck(folder: Path, executor: Executor, events: list[Event]) -> Outcome:
    spec = Spec.parse(small_study())
    return run(spec, folder / "results", executor=executor, cache=Cache(folder / "cache"), notify=events.append)


def test_two_workers_of_ray_give_the_rows_of_one_process(alone: pl.DataFrame, tmp_path: Path) -> None:
    events: list[Event] = []
    outcome = run_struck(tmp_path, two("ray"), events).check()
    assert rows_of(outcome.folder).equals(alone)
    assert {(event.task, event.stage) for event in events} == {
        (model, stage) for model in ("baseline-0", "label_noise-0") for stage in ("training", "extraction", "scoring")
    }


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_worker_killed_in_the_middle_loses_nothing(executor: str, alone: pl.DataFrame, tmp_path: Path) -> None:
    events: list[Event] = []
    outcome = run_struck(tmp_path, Struck(two(executor), tmp_path, "baseline-0", 2), events).check()
    assert (tmp_path / "struck").exists(), "no worker was killed"
    assert rows_of(outcome.folder).equals(alone)
    trained = [event for event in events if event.stage == "training" and event.done == event.total]
    assert [event.task for event in trained].count("baseline-0") <= 1, "weights that were written are kept"


@dataclass(frozen=True)
class DeadlyShards:
    """Work whose process kills itself, once, between two batches of a shard."""

    work: Work
    place: Path

    def __call__(self, task: Any, notify: Notify) -> Any:
        def kill(_done: int, _total: int) -> None:
            if task.number == 1 and not (self.place / "struck").exists():
                (self.place / "struck").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sharding, "_silent", kill)
            return self.work(task, notify)


@dataclass(frozen=True)
class StruckShards(Executor):
    """An executor whose extraction of shards is deadly."""

    inner: Executor
    place: Path

    def run(self, work: Work, tasks: Sequence[Any], notify: Notify) -> Iterator[Done | Failed]:
        deadly = DeadlyShards(work, self.place) if isinstance(work, sharding.Extraction) else work
        return self.inner.run(deadly, tasks, notify)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_worker_killed_within_a_shard_changes_no_number(executor: str, alone: pl.DataFrame, tmp_path: Path) -> None:
    spec = Spec.parse(small_study(resources={"executor": executor, "processes": 2, "shards": 3}))
    told: list[Event] = []
    outcome = run(
        spec,
        tmp_path / "results",
        executor=StruckShards(two(executor), tmp_path),
        cache=Cache(tmp_path / "cache"),
        notify=told.append,
    ).check()
    assert (tmp_path / "struck").exists(), "no worker was killed"
    assert Event("baseline-0", "extraction", 3, 3) in told
    assert_close(rows_of(outcome.folder), alone)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_task_that_always_dies_is_reported_and_the_others_are_done(
    executor: str, alone: pl.DataFrame, tmp_path: Path
) -> None:
    dying = Struck(two(executor, retries=1), tmp_path, "baseline-0", 1, always=True)
    outcome = run_struck(tmp_path, dying, [])
    (failure,) = outcome.failures
    assert failure.model == "baseline-0"
    assert failure.by_user
    assert "killed (out of memory?), 2 times" in failure.reason
    with pytest.warns(MissingRowsWarning, match="3 of the 8 jobs"):
        done = rows_of(outcome.folder)
    assert done.filter(model="label_noise-0").equals(alone.filter(model="label_noise-0"))
    assert set(done["model"]) == {"label_noise-0", "baseline-0"}, "what a dying task wrote stays"
    resumed = run_small(tmp_path).check()
    assert rows_of(resumed.folder).equals(alone)


def broken(task: str, notify: Notify) -> str:
    """Work that fails in each way."""
    if task == "user":
        raise UserError("Expected a picture, but got a film.")
    if task == "bug":
        raise ZeroDivisionError
    return f"{task} {os.environ.get('OMP_NUM_THREADS')}"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_error_ends_its_task_alone(executor: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    ends = {end.index: end for end in two(executor).run(broken, ["user", "bug", "good"], lambda _: None)}
    user, bug = ends[0], ends[1]
    assert isinstance(user, Failed) and user.by_user and user.reason == "Expected a picture, but got a film."
    assert isinstance(bug, Failed) and not bug.by_user and "ZeroDivisionError" in bug.reason
    assert ends[2] == Done(2, "good 1"), "threads come from the executor"


def test_no_task_is_no_work() -> None:
    assert [list(two(name).run(broken, [], lambda _: None)) for name in EXECUTORS] == [[], []]


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"outfield\[ray\]"):
        list(two("ray").run(broken, ["good"], lambda _: None))


def test_more_than_the_machine_has_is_told_at_once() -> None:
    has = {"CPU": 2.0, "memory": 8.0 * 2**30}
    with pytest.raises(UserError, match="Expected 16 GiB for each task .* has 8 for Ray"):
        Ray(memory=16.0)._check(has)
    with pytest.raises(UserError, match=r"Expected 0\.5 GPUs"):
        Ray(gpus=0.5)._check(has)


def test_an_address_is_for_ray() -> None:
    assert of(Resources(executor="ray"), address="auto") == Ray(address="auto")
    with pytest.raises(UserError, match="executor 'local' has no parameter 'address'"):
        of(Resources(), address="auto")


def test_an_address_where_nobody_listens_is_told_at_once(tmp_path: Path) -> None:
    """In a process of its own: this one is connected."""
    program = (
        "from outfield.studies.executors.ray import Ray\nlist(Ray(address='127.0.0.1:9').run(print, ['task'], print))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=100)
    assert "UserError: Expected Ray at 127.0.0.1:9" in done.stderr


def test_each_task_has_its_own_count_of_deaths() -> None:
    deaths = Deaths(retries=1)
    assert [deaths.of(0), deaths.of(1)] == [None, None]
    assert isinstance(deaths.of(0), Failed)
