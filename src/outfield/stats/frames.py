"""Tables from anywhere (path, polars, pandas, DuckDB relation) as polars frames; result rows by role."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outfield.errors import UserError, listed, reading

if TYPE_CHECKING:
    import polars as pl

READERS = {".csv": "read_csv", ".tsv": "read_csv", ".parquet": "read_parquet", ".json": "read_json"}


def as_frame(data: Any) -> pl.DataFrame:
    """A polars frame of a path (CSV, TSV, Parquet, JSON) or of any frame that narwhals knows.

    Raises
    ------
    UserError
        No such file, an unknown ending, a file that cannot be read, or no frame.

    Examples
    --------
    >>> import pandas
    >>> as_frame(pandas.DataFrame({"model": ["a"], "value": [1.0]})).rows()
    [('a', 1.0)]
    """
    import polars as pl

    if isinstance(data, pl.DataFrame):
        return data
    if isinstance(data, str | Path):
        return _read(Path(data))
    return _foreign(data)


def _read(path: Path) -> pl.DataFrame:
    import polars as pl

    if not path.exists():
        raise UserError(f"Expected a table, but there is no file {path}. Pass the path of a CSV or Parquet file.")
    if not path.is_dir() and path.suffix.lower() not in READERS:
        raise UserError(f"Expected a table as {', '.join(READERS)}, but got {path.name}. Convert it first.")
    with reading(path, "a table", "Mend the file; text must be in UTF-8."):
        return pl.read_parquet(path / "**" / "*.parquet") if path.is_dir() else _parsed(path)


def _parsed(path: Path) -> pl.DataFrame:
    import polars as pl

    options: dict[str, Any] = {"infer_schema_length": None} if "csv" in READERS[path.suffix.lower()] else {}
    if path.suffix.lower() == ".tsv":
        options["separator"] = "\t"
    frame: pl.DataFrame = getattr(pl, READERS[path.suffix.lower()])(path, **options)
    return frame


def _foreign(data: Any) -> pl.DataFrame:
    import narwhals as nw

    try:
        frame = nw.from_native(data)
    except (TypeError, ValueError) as error:
        kind = type(data).__name__
        raise UserError(
            f"Expected a table, but got {kind}{_twice(data)}. Pass a path, or a polars, pandas or DuckDB table."
        ) from error
    with reading(f"the {type(data).__name__}", "a table", "Give each column one name, and values of one type."):
        return _collected(frame)


def _twice(data: Any) -> str:
    """What to say of a frame that has several columns of one name."""
    names = [str(name) for name in getattr(data, "columns", ())]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f" with several columns {', '.join(twice[:3])}: give each its own name" if twice else ""


def _collected(frame: Any) -> pl.DataFrame:
    import narwhals as nw
    import polars as pl

    if isinstance(frame, nw.LazyFrame):
        native = frame.collect("polars").to_native()
        return native if isinstance(native, pl.DataFrame) else pl.DataFrame(native)
    if isinstance(frame, nw.Series):
        raise UserError("Expected a table, but got one column. Pass the whole table.")
    whole: pl.DataFrame = frame.to_polars()
    return whole


def require(frame: pl.DataFrame, columns: Sequence[str]) -> None:
    """Raise a ``UserError`` that names the columns which ``frame`` lacks, and those it has.

    Examples
    --------
    >>> import polars as pl
    >>> require(pl.DataFrame({"model": ["a"]}), ["model", "value"])
    Traceback (most recent call last):
    outfield.errors.UserError: Expected columns value, but the table has model. Name the columns that it ...
    """
    if missing := [name for name in columns if name not in frame.columns]:
        has = listed(frame.columns, most=12)
        raise UserError(
            f"Expected columns {', '.join(missing)}, but the table has {has}. Name the columns that it has."
        )


def select_rows(data: Any, metric: str | None = None) -> pl.DataFrame:
    """The rows that means, ranks and ANOVA read: ``role = test``, no unit test of a pooled set, one metric.

    Examples
    --------
    >>> import polars as pl
    >>> rows = {"role": ["test", "curve"], "part": [None, None], "metric": ["auroc"] * 2, "value": [0.9, 0.8]}
    >>> select_rows(pl.DataFrame(rows), "auroc")["value"].to_list()
    [0.9]
    """
    import polars as pl

    frame = as_frame(data)
    if "role" in frame.columns:
        frame = frame.filter(pl.col("role") == "test")
    if "part" in frame.columns:
        frame = frame.filter(pl.col("part").is_null())
    if metric is not None:
        require(frame, ["metric"])
        known = frame["metric"].unique().to_list()
        frame = frame.filter(pl.col("metric") == metric)
        if frame.is_empty():
            raise UserError(f"Expected rows of the metric {metric!r}, but the table has {sorted(known)}. Choose one.")
    return frame
