"""The scores of one model, of every detector: each sample's score, percentile against ID, and disagreement."""

from __future__ import annotations

import warnings
from collections.abc import Hashable
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from outfield.dashboard.revision_cache import Memo
from outfield.dashboard.selection import ID_SET
from outfield.dashboard.studies import Study
from outfield.errors import UserError
from outfield.store.write import scores_path

PLACE = ("set", "part", "row")
ORDERS = 16


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of n samples by D detectors.

    Parameters
    ----------
    places : frame [n]
        Columns set, part, row: which sample.
    detectors : tuple of str
    values : float32 array [n, D]
        Scores, NaN where a detector did not score a sample.
    percentiles : float32 array [n, D]
        Share of the ID test scores of the same detector below, from 0 to 100.
    disagreement : float32 array [n]
        Standard deviation of a sample's percentiles.
    lost : tuple of str
        Detectors whose file is damaged or gone.
    """

    places: pl.DataFrame
    detectors: tuple[str, ...]
    values: NDArray[np.float32]
    percentiles: NDArray[np.float32]
    disagreement: NDArray[np.float32]
    lost: tuple[str, ...] = ()
    orders: Memo = field(default_factory=lambda: Memo(ORDERS))
    """Places of the samples, sorted in the ways that were asked for."""

    @cached_property
    def mean_percentile(self) -> NDArray[np.float32]:
        """Mean of each sample's percentiles over the detectors that have one, [n]; NaN without one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            return np.asarray(np.nanmean(self.percentiles, axis=1))

    def place(self, set: str, row: int) -> int | None:
        """Where the sample of a set is among them."""
        found = self.places.with_row_index().filter(pl.col("set") == set, pl.col("row") == row)["index"]
        return int(found[0]) if len(found) else None

    def at(self, place: int) -> dict[str, dict[str, float]]:
        """Score and percentile of a sample by every detector that has one."""
        pairs = zip(self.detectors, self.values[place].tolist(), self.percentiles[place].tolist(), strict=True)
        return {name: {"score": score, "percentile": share} for name, score, share in pairs if not isnan(score)}


class Setting(NamedTuple):
    """What made the scores of a detector: its plug-in, its parameters as JSON, the job."""

    method: str
    params: str
    job: str


def settings(study: Study, model: str) -> dict[str, Setting]:
    """Detector to what made its reported scores, for one model; each setting of a detector has a name of its own."""
    found = study.index.ask(
        "SELECT detector, method, coalesce(params, '{}') AS params, min(job) AS job FROM rows WHERE model = ? "
        "AND detector IS NOT NULL AND role = 'test' GROUP BY ALL ORDER BY detector, params",
        [model],
    )
    return {name: Setting(*made) for name, *made in found.iter_rows()}


def scores(study: Study, model: str) -> Scores:
    """The scores of a model, kept for as long as their files stay as they are.

    Raises
    ------
    UserError
        None were kept.
    """
    files = study.once(("score files", model), lambda: _files(study, model))
    key: Hashable = (model, tuple((name, path, _state(path)) for name, path in files.items()))
    return study.tables.get(0, key, lambda: _read(study, model, files))


def _files(study: Study, model: str) -> dict[str, Path]:
    root = study.folder.resolve()
    paths = {name: scores_path(study.folder, model, made.job) for name, made in settings(study, model).items()}
    return {name: path for name, path in paths.items() if path.resolve().is_relative_to(root)}


def _state(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _read(study: Study, model: str, files: dict[str, Path]) -> Scores:
    tables: dict[str, pl.DataFrame] = {}
    for name, path in files.items():
        try:
            tables[name] = study.index.scores(path)
        except UserError:
            continue
    lost = tuple(name for name in files if name not in tables)
    if not tables:
        raise UserError(
            f"Expected the scores of each sample of {model}, but none are kept in this study's folder. "
            "They stand in scores/ where the study ran."
        )
    return _joined(tables, lost)


def _joined(tables: dict[str, pl.DataFrame], lost: tuple[str, ...]) -> Scores:
    """Columns side by side: as they are where the samples are the same, else matched by their place."""
    places = max(tables.values(), key=lambda table: table.height).select(PLACE)
    columns = [_column(table, places) for table in tables.values()]
    values = np.column_stack(columns).astype(np.float32)
    known = (places["set"] == ID_SET).to_numpy()
    percentiles = np.column_stack([_percentiles(column, column[known]) for column in values.T]).astype(np.float32)
    return Scores(places, tuple(tables), values, percentiles, _disagreement(percentiles), lost)


def _column(table: pl.DataFrame, places: pl.DataFrame) -> NDArray[np.float32]:
    if not table.select(PLACE).equals(places):
        table = places.join(table, on=PLACE, how="left", nulls_equal=True, maintain_order="left")
    return table["score"].to_numpy()


def _percentiles(scores: NDArray[np.float32], known: NDArray[np.float32]) -> NDArray[Any]:
    """Share of the known scores below each, in percent; NaN without one.

    Examples
    --------
    >>> _percentiles(np.array([0.5, 3.0, np.nan]), np.array([0.0, 1.0])).tolist()
    [50.0, 100.0, nan]
    """
    ordered = np.sort(known[~np.isnan(known)])
    if not len(ordered):
        return np.full(len(scores), np.nan)
    shares = 100 * np.searchsorted(ordered, scores, side="left") / len(ordered)
    return np.where(np.isnan(scores), np.nan, shares)


def _disagreement(percentiles: NDArray[np.float32]) -> NDArray[np.float32]:
    """Standard deviation of each sample's percentiles over the detectors that have one.

    Examples
    --------
    >>> _disagreement(np.array([[0.0, 100.0, np.nan], [10.0, 10.0, 10.0]])).tolist()
    [50.0, 0.0]
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(np.nanstd(percentiles, axis=1))
