"""Runs that are followed: what was measured is counted from what is written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from outfield.studies.executors.base import Done
from outfield.trajectory import EvalSet, Run, Tracker
from outfield.trajectory.runs import Progress, follow, resumable


@dataclass(frozen=True)
class Forgetful:
    """A run that leaves out a step."""

    tracker: Tracker
    steps: tuple[int, ...] = (0, 5, 10)
    lost: int = 5

    def follow(self, progress: Progress) -> None:
        for step in self.steps:
            if step != self.lost:
                self.tracker.log(step, set="test", correct=[True, False])

    def tidy(self) -> None:
        pass


def tracker(folder: Path) -> Tracker:
    return Tracker(Run("demo", "net"), [EvalSet("test", 2, "id")], folder)


def test_a_step_without_rows_is_not_counted_and_is_named(tmp_path: Path) -> None:
    outcome = follow([Forgetful(tracker(tmp_path))], tmp_path, "{}", lambda *_: None)
    assert (outcome.measured, outcome.present) == (2, 0)
    assert outcome.notes == ("net-0: not measured at step 5. Track the study again.",)
    again = follow([Forgetful(tracker(tmp_path), lost=-1)], tmp_path, "{}", lambda *_: None)
    assert (again.measured, again.present, again.notes) == (1, 2, ())


@pytest.mark.parametrize(("written", "goes_on"), [((0, 5), True), ((0,), False), ((5,), False), ((0, 5, 20), True)])
def test_a_checkpoint_is_gone_on_from_where_every_step_up_to_it_is_written(
    written: tuple[int, ...], goes_on: bool, tmp_path: Path
) -> None:
    made, path = tracker(tmp_path), tmp_path / "weights.ckpt"
    assert resumable(path, made, (0, 5, 10, 20)) is None
    for step in written:
        made.log(step, set="test", correct=[True, False])
    torch.save({"step": 5, "weights": torch.zeros(2)}, path)
    assert resumable(path, made, (0, 5, 10, 20)) == (path if goes_on else None)


def test_a_damaged_checkpoint_is_left_to_the_loop_to_say(tmp_path: Path) -> None:
    (tmp_path / "weights.ckpt").write_bytes(b"torn")
    assert resumable(tmp_path / "weights.ckpt", tracker(tmp_path), (0,)) == tmp_path / "weights.ckpt"


class Idle:
    """An executor that must not be given a task."""

    def run(self, work: object, tasks: Sequence[object], notify: object) -> Iterator[Done]:
        assert not tasks, "nothing is left to do"
        return iter(())


def test_runs_that_are_written_start_no_process_and_are_told(tmp_path: Path) -> None:
    run, told = Forgetful(tracker(tmp_path), lost=-1), []
    follow([run], tmp_path, "{}", lambda *_: None)
    outcome = follow([run], tmp_path, "{}", lambda *said: told.append(said), executor=Idle())
    assert (outcome.measured, outcome.present, told) == (0, 3, [("net-0", 3, 3)])
