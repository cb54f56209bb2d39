"""Scores that a study kept for each input: which job has them, and histograms that DuckDB counts."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from glob import escape
from pathlib import Path

import duckdb
import polars as pl

from outfield.errors import UserError
from outfield.errors import listed as listed_names
from outfield.places import copies, is_there, listed, place
from outfield.store import query
from outfield.store.schema import SCORE_COLUMNS
from outfield.store.settings import told_apart
from outfield.store.write import ROWS, SCORES, scores_path, without_scores

ID = "test"
"""What score files call the ID test set."""

_COUNTED = """
WITH named AS (
    SELECT unnest(?) AS job, unnest(?) AS detector
), scored AS (
    SELECT detector, "set", score::DOUBLE AS score
    FROM read_parquet(?, filename = true, hive_partitioning = false) JOIN named ON parse_filename(filename, true) = job
    WHERE isfinite(score)
), centre AS (
    SELECT detector, median(score) AS middle, quantile_cont(score, 0.75) - quantile_cont(score, 0.25) AS spread
    FROM scored WHERE "set" = ? GROUP BY detector
), moved AS (
    SELECT detector, "set", sign(score - middle) * ln(1 + abs(score - middle) / spread) AS place
    FROM scored JOIN centre USING (detector) WHERE spread > 0
), ends AS (
    SELECT detector, quantile_cont(place, 0.001) AS first, quantile_cont(place, 0.999) AS last
    FROM moved GROUP BY detector
), binned AS (
    SELECT detector, "set", first, (last - first) / $bins AS width,
        greatest(0, least($bins - 1, floor((place - first) / ((last - first) / $bins))))::INTEGER AS bin
    FROM moved JOIN ends USING (detector) WHERE last > first
), counted AS (
    SELECT detector, "set", bin, any_value(first) AS first, any_value(width) AS width, count(*) AS count
    FROM binned GROUP BY detector, "set", bin
)
SELECT detector, "set", bin,
    sign(first + bin * width) * (exp(abs(first + bin * width)) - 1) AS low,
    sign(first + (bin + 1) * width) * (exp(abs(first + (bin + 1) * width)) - 1) AS high,
    count
FROM counted ORDER BY detector, "set", bin
"""


def histograms(folder: Path | str, model: str, *, bins: int = 40) -> pl.DataFrame:
    """How the scores of one model's detectors lie on every data set.

    Scores are moved by the median and divided by the interquartile range of the ID scores, so that detectors can be
    compared; bins are equally wide on the scale ``sign(z) log(1 + |z|)`` and hold the outermost thousandths too.

    Parameters
    ----------
    folder : path
        A study's folder.
    model : str
    bins : int
        How many, from one end of all sets to the other.

    Returns
    -------
    frame
        detector, set (the ID test set is ``test``), bin, low and high (its ends, in interquartile ranges of ID from
        the median of ID), count. Bins without a score are absent, and so is a detector whose ID scores are constant.

    Raises
    ------
    UserError
        The study kept no scores of this model.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = place(tempfile.mkdtemp())
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 1.0, "role": "test", "set_kind": "ood",
    ...        "detector": "msp"}
    >>> table = pl.DataFrame({"set": ["test"] * 4 + ["far"], "row": [0, 1, 2, 3, 0], "score": [0.0, 1, 2, 3, 9]})
    >>> _ = write.rows(folder, "ab12", [row]), write.scores(folder, "m", "ab12", table)
    >>> histograms(folder, "m", bins=2).select("detector", "set", "bin", "count").rows()
    [('msp', 'far', 1, 1), ('msp', 'test', 0, 3), ('msp', 'test', 1, 1)]
    """
    folder = place(folder)
    known = jobs(folder, model)
    files = [scores_path(folder, model, job) for job in known.values()]
    with copies(files) as here:
        scores = query.some(query.sound(files, here, SCORES), folder)
        sources = [list(known.values()), list(known), [escape(str(path)) for path in scores], ID]
        try:
            with duckdb.connect() as connection:
                return query.framed(connection.sql(_COUNTED.replace("$bins", str(int(bins))), params=sources))
        except duckdb.Error as error:
            raise UserError(f"Expected scores of {model} in {folder}, but got {error}. Run the study again.") from None


def jobs(folder: Path | str, model: str) -> dict[str, str]:
    """Detector to the key of the job whose scores of this model are reported; read them with ``query.scores``.

    A detector that was measured with several settings has a name for each.

    Raises
    ------
    UserError
        The study kept no scores of this model.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = place(tempfile.mkdtemp())
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 1.0, "role": "test", "set_kind": "ood",
    ...        "detector": "msp"}
    >>> table = pl.DataFrame({"set": ["test"], "row": [0], "score": [0.5]})
    >>> _ = write.rows(folder, "ab12", [row]), write.scores(folder, "m", "ab12", table)
    >>> jobs(folder, "m")
    {'msp': 'ab12'}
    """
    folder = place(folder)
    files = [folder / ROWS / path.name for path in _files(folder, model)]
    with copies(files) as here, duckdb.connect() as connection:
        rows = query.some(query.sound(files, here), folder)
        found = connection.sql(
            "SELECT DISTINCT detector, params, role, parse_filename(filename, true) AS job FROM "
            "read_parquet(?, union_by_name = true, filename = true, hive_partitioning = false) "
            "WHERE detector IS NOT NULL AND role = 'test' AND model = ?",
            params=[[escape(str(path)) for path in rows], model],
        )
        table = told_apart(query.framed(found)).sort("detector", "job")
        return dict(table.select("detector", "job").iter_rows())


def merits(folder: Path | str) -> pl.DataFrame:
    """How good each model's answer to each item was, of all models of a study that kept it.

    Returns
    -------
    frame
        model, set (the ID test set is ``test``), row (in the whole set), merit.

    Raises
    ------
    UserError
        The study kept none.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = place(tempfile.mkdtemp())
    >>> row = {"study": "s", "model": "m", "metric": "accuracy", "value": 0.5, "role": "test", "set_kind": "id"}
    >>> table = pl.DataFrame({"set": ["test"] * 2, "row": [0, 1], "score": [1.0, 0.0]})
    >>> _ = write.rows(folder, "ab12", [row]), write.scores(folder, "m", "ab12", table)
    >>> merits(folder).rows()
    [('m', 'test', 0, 1.0), ('m', 'test', 1, 0.0)]
    """
    folder = place(folder)
    known = _own_jobs(folder)
    kept = {path.stem for path in listed(folder / SCORES, "*/*.parquet")}
    found = [
        query.merits(folder, model, job).select(pl.lit(model).alias("model"), "set", "row", "merit")
        for model, job in known
        if job in kept
    ]
    if not found:
        raise UserError(f"Expected the merit of each item in {folder}, but none was kept. Run the study again.")
    return pl.concat(found)


def _own_jobs(folder: Path) -> list[tuple[str, str]]:
    """Each model with the key of its own job; of a run's checkpoints that of the last."""
    wanted = query.manifest(folder)["jobs"]
    files = [path for path in listed(folder / ROWS, "*.parquet") if wanted is None or path.stem in wanted]
    with copies(files) as here, duckdb.connect() as connection:
        rows = query.some(query.sound(files, here), folder)
        found = connection.sql(
            "SELECT model, arg_max(parse_filename(filename, true), coalesce(step, 0)) AS job FROM "
            "read_parquet(?, union_by_name = true, filename = true, hive_partitioning = false) "
            "WHERE detector IS NULL AND role = 'test' GROUP BY model ORDER BY model",
            params=[[escape(str(path)) for path in rows]],
        )
        return list(query.framed(found).select("model", "job").iter_rows())


def kept(folder: Path | str, models: Iterable[str]) -> list[str]:
    """Those of some models of which a study keeps scores, in their order; a look at the names of files.

    Examples
    --------
    >>> import tempfile
    >>> kept(tempfile.mkdtemp(), ["m"])
    []
    """
    folder = place(folder)
    found = {path.parent.name for path in listed(folder / SCORES, "*/*.parquet")}
    return [model for model in models if scores_path(folder, model, "any").parent.name in found]


def of_model(folder: Path | str, model: str, detector: str | None = None) -> pl.DataFrame:
    """The scores of one model's detectors, or of one detector, on each item: columns detector, set, part, row, score.

    Raises
    ------
    UserError
        The study kept no scores of this model, or of this detector.

    Examples
    --------
    >>> import tempfile
    >>> from outfield.store import write
    >>> folder = place(tempfile.mkdtemp())
    >>> row = {"study": "s", "model": "m", "metric": "auroc", "value": 1.0, "role": "test", "set_kind": "ood",
    ...        "detector": "msp"}
    >>> table = pl.DataFrame({"set": ["test", "far"], "row": [0, 0], "score": [0.5, 0.75]})
    >>> _ = write.rows(folder, "ab12", [row]), write.scores(folder, "m", "ab12", table)
    >>> of_model(folder, "m").rows()
    [('msp', 'test', None, 0, 0.5), ('msp', 'far', None, 0, 0.75)]
    """
    folder = place(folder)
    known = {name: job for name, job in jobs(folder, model).items() if detector in (None, name)}
    if not known:
        raise UserError(f"Expected scores of {detector} on {model} in {folder}, but there are none. Run it again.")
    files = [scores_path(folder, model, job) for job in known.values()]
    with copies(files) as here, duckdb.connect() as connection:
        sound = query.some(query.sound(files, here, SCORES), folder)
        found = connection.sql(
            f"SELECT parse_filename(filename, true) AS job, {', '.join(map(query.quoted, SCORE_COLUMNS))} FROM "
            "read_parquet(?, union_by_name = true, filename = true, hive_partitioning = false)",
            params=[[escape(str(path)) for path in sound]],
        )
        table = query.framed(found)
    detectors = pl.DataFrame({"job": [*known.values()], "detector": [*known]})
    named = table.join(detectors, on="job", maintain_order="left")
    return named.select("detector", *SCORE_COLUMNS)


def _tell_of_lost(folder: Path, model: str, jobs: Iterable[str]) -> None:
    """Warn of jobs of a model whose rows are there and whose scores are gone: readers leave their detectors out."""
    kept = {path.stem for path in listed(folder / SCORES, "*/*.parquet")}
    rows = {path.stem for path in listed(folder / ROWS, "*.parquet")}
    lost = [job for job, of in without_scores(folder, rows.intersection(jobs) - kept).items() if of == model]
    if lost:
        warnings.warn(
            f"The scores of {len(lost):,} jobs of {model} in {folder} are gone: {listed_names(lost)}. Their detectors "
            "are left out. Run the study again, and those jobs are done again.",
            query.MissingRowsWarning,
            stacklevel=4,
        )


def _files(folder: Path, model: str) -> list[Path]:
    """The files of a model's scores whose jobs are of the study and have rows."""
    found = listed(scores_path(folder, model, "any").parent, "*.parquet")
    jobs = query.manifest(folder)["jobs"]
    _tell_of_lost(folder, model, jobs or ())
    wanted = {path.stem for path in found} if jobs is None else set(jobs)
    files = [path for path in found if path.stem in wanted and is_there(folder / ROWS / path.name)]
    if not files:
        raise UserError(f"Expected the scores of {model} in {folder}, but none were kept. Run the study again.")
    return files
