from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from outfield.data.base import Dataset, Source
from outfield.data.datasets import ArrayDataset
from outfield.data.sources._files import Broken, existing
from outfield.data.sources._rows import column, kept, numbered
from outfield.errors import UserError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Table(Source):
    """Rows of numbers [n, D] of a table: ``.csv``, ``.tsv`` or ``.parquet``.

    Parameters
    ----------
    path : str
    label : str, optional
        The column of the labels; integers or names.
    columns : tuple of str, optional
        The columns of the inputs, in the model's order; by default all but the label.
    values : tuple of str, optional
        The label values that are kept, in the order of the classes 0, 1, ...; by default all, sorted: give
        them where several files must agree. Rows of other values are left out and counted in ``left_out``.
    broken : {"refuse", "leave out"}
        What to do with rows that have no number in a column: nothing, NA, NaN, infinity.

    Raises
    ------
    UserError
        No such file or column, a column that is not numeric, rows without a number.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "iris.csv").write_text("width,length,kind\\n1.0,2,rose\\n3.5,4,iris\\n")
    ...     data = Table(folder + "/iris.csv", label="kind").load()
    ...     data.read(slice(None)).tolist(), data.labels.tolist(), data.classes
    ([[1.0, 2.0], [3.5, 4.0]], [1, 0], ('iris', 'rose'))
    """

    path: str
    label: str | None = None
    columns: tuple[str, ...] | None = None
    values: tuple[str, ...] | None = None
    broken: Broken = "refuse"

    def files(self) -> tuple[Path, ...]:
        return (Path(self.path).expanduser(),)

    def load(self) -> Dataset:
        frame = self._frame()
        names = [column(frame.columns, name, self.path) for name in self.columns or frame.columns if name != self.label]
        _check_numeric(frame, names, self.path)
        numbers = frame.select(names).cast(_float()).to_numpy()
        where, left_out = kept(np.isfinite(numbers).all(axis=1), self.broken, self.path, "a number in every column")
        if self.label is None:
            return ArrayDataset(numbers[where], left_out=left_out)
        labels, classes = numbered(frame[column(frame.columns, self.label, self.path)].to_list(), self.values)
        other = where[labels[where] < 0]
        left_out += [f"{self.path}: {len(other)} rows with other labels"] if len(other) else []
        where = where[labels[where] >= 0]
        return ArrayDataset(numbers[where], labels[where], classes, left_out=left_out)

    def _frame(self) -> pl.DataFrame:
        import polars as pl

        file = existing(self.path, "file")
        try:
            if file.suffix.lower() == ".parquet":
                return pl.read_parquet(file)
            separator = "\t" if file.suffix.lower() == ".tsv" else ","
            return pl.read_csv(file, separator=separator, infer_schema_length=None, null_values=["NA", "NaN", "nan"])
        except (pl.exceptions.PolarsError, OSError) as error:
            first = str(error).splitlines()[0]
            raise UserError(f"Expected a table in {file}, but could not read it ({first}). Mend it.") from error


def _float() -> pl.DataType:
    import polars as pl

    return pl.Float64()


def _check_numeric(frame: pl.DataFrame, names: list[str], path: str) -> None:
    odd = [
        name for name in names if not (frame.schema[name].is_numeric() or frame.schema[name].base_type() is _boolean())
    ]
    if odd or not names:
        raise UserError(
            f"Expected numeric columns in {path}, but {', '.join(odd) or 'there is no column'} "
            "is not. Name the numeric ones with `columns`, or encode it as numbers."
        )


def _boolean() -> type[pl.DataType]:
    import polars as pl

    return pl.Boolean
