"""Small things that several tests need."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from outfield import checksums
from outfield.features.cache import Cache
from outfield.store import query
from outfield.studies.run import Outcome, run
from outfield.studies.spec import Spec

CLASSES = [0, 1, 2, 3]


def digits(part: str, classes: list[int] = CLASSES) -> dict[str, Any]:
    return {"name": "digits", "classes": classes, "part": part, "side": 8}


def small_study(**changes: Any) -> dict[str, Any]:
    """A study that runs in a second or two: two models, three detectors, two OOD sets."""
    return {
        "name": "small",
        "id": {"train": digits("fit"), "val": digits("val"), "test": digits("test")},
        "ood": [
            {"name": "digit 8", "category": "near", "source": digits("all", [8])},
            {
                "name": "unit tests",
                "category": "synthetic",
                "source": {"name": "synthetic", "names": ["grey", "rademacher"], "each": 6, "side": 8},
            },
        ],
        "shifts": [{"shift": "gaussian_noise", "severities": [1, 5]}],
        "network": {"name": "small_cnn", "width": 4},
        "epochs": 1,
        "models": [{"strategy": "baseline", "seeds": [0]}, {"strategy": "label_noise", "seeds": [0]}],
        "detectors": ["msp", "mds", "odin"],
        "resources": {"processes": 1},
    } | changes


def run_small(folder: Path, **changes: Any) -> Outcome:
    """Run the small study in a folder, its cache beside it."""
    return run(Spec.parse(small_study(**changes)), folder / "results", cache=Cache(folder / "cache"))


def rows_of(folder: Path | str) -> pl.DataFrame:
    """A study's rows in one order, without the time that they took."""
    rows = query.rows(folder).drop("seconds")
    return rows.sort(rows.columns)


def restate(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Let ``study.json`` say something else, as a run would have written it."""
    manifest = query.manifest(folder)
    change(manifest)
    (folder / "study.json").write_bytes(checksums.to_json(manifest, "study", "study"))


def assert_close(ours: pl.DataFrame, expected: pl.DataFrame) -> None:
    """The same rows, numbers to a millionth."""
    assert_frame_equal(ours, expected, check_exact=False, rel_tol=1e-6, abs_tol=1e-9)
