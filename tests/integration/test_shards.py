"""A study whose data sets are extracted in shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from outfield.features.cache import Cache
from outfield.store import query
from outfield.studies.executors.base import Event
from outfield.studies.run import Outcome, run
from outfield.studies.spec import Spec
from tests.support import run_small, small_study


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return run_small(tmp_path_factory.mktemp("whole"), batch=32).check()


@pytest.mark.parametrize("resources", [{"processes": 1, "shards": 3}, {"processes": 2, "shards": 7}], ids=str)
def test_the_rows_do_not_depend_on_the_shards(whole: Outcome, tmp_path: Path, resources: dict[str, int]) -> None:
    told: list[Event] = []
    spec = Spec.parse(small_study(batch=32, resources=resources))
    outcome = run(spec, tmp_path / "results", cache=Cache(tmp_path / "cache"), notify=told.append).check()
    assert outcome.forwards == whole.forwards, "each input once"
    shards = resources["shards"]
    parts = [one.done for one in told if (one.task, one.stage, one.total) == ("baseline-0", "extraction", shards)]
    assert parts == [*range(1, shards + 1)]
    ours, expected = numbers(outcome), numbers(whole)
    assert ours.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-6, atol=1e-9, err_msg=str(name))


def numbers(outcome: Outcome) -> dict[tuple[str | None, ...], float]:
    """The value of every row, by what it is the value of."""
    rows = query.rows(outcome.folder).drop("seconds", "low", "high")
    return {
        tuple(None if one is None else str(one) for one in what): value
        for *what, value in rows.select(*(name for name in rows.columns if name != "value"), "value").rows()
    }
