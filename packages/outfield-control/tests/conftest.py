from __future__ import annotations

from dataclasses import replace

import pytest

from outfield.types import Batch
from outfield_control.sources.point_mass_logs import PointMassLogs
from outfield_control.tasks.point_mass import PointMass


@pytest.fixture(scope="session")
def task() -> PointMass:
    return PointMass(episodes=64, logs=PointMassLogs(episodes=100))


@pytest.fixture(scope="session")
def logged(task: PointMass) -> Batch:
    """The training set with its stream, as the loop takes it."""
    sets = {member.name: member for member in task.sets(seed=0)}
    return replace(task.batch(sets["train"]), streams={"learn": task.batch(sets["learn"])})
