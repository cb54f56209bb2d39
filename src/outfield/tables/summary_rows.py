"""Rows that summarise the others (Mean, SD, Minimum, Total) are no models: found by name and by value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from outfield.types import Array

LEAST = 3
"""Measures that must all be means of the others before a row without a telling name is one."""
MOST = 0.7
"""The share of many measures that must agree."""
SUMMARIES = {
    "mean": r"mean|avg\.?|average|ø|overall|all|macro[- ]?avg",
    "median": r"median",
    "minimum": r"min\.?|minimum|worst",
    "maximum": r"max\.?|maximum|best",
    "standard deviation": r"sd|s\.d\.|std\.?|stdev|std\.? ?dev\.?|standard deviation",
    "standard error": r"se|sem|std\.? ?err\.?|stderr|standard error",
    "variance": r"var\.?|variance",
    "total": r"sum|total",
    "number": r"n|count|number",
}
WEAK = re.compile(r"ø|overall|all|worst|best|se|sem|n|count|number|var\.?|sum|min\.?|max\.?")
"""Names that models bear too: they need the values beside."""
DECORATION = re.compile(r"^(grand|overall|total|column|the)\s+|\s*\((n\s*=\s*)?\d+\)$|[:=*]+$")


def summary_of(name: str) -> str | None:
    """What a row of this name summarises the others by; None where the name is none of a summary.

    Examples
    --------
    >>> [summary_of(name) for name in ("Mean", "Std. Dev.", "AVERAGE:", "Mean Teacher", "resnet50")]
    ['mean', 'standard deviation', 'mean', None, None]
    """
    return next((kind for kind, words in SUMMARIES.items() if re.fullmatch(words, _plain(name))), None)


def _plain(name: str) -> str:
    return DECORATION.sub("", DECORATION.sub("", name.casefold().strip()))


def summary_rows(names: Sequence[str | None], columns: Mapping[str, Array]) -> tuple[dict[int, str], tuple[str, ...]]:
    """Rows that summarise others, with the reason; and sentences on rows that only have such a name.

    A row with the name of a summary is one where its values are that summary of the other rows, or of the rows above it
    since the last summary, or where it stands at either end of the table. A last row of any name is one where three
    measures or more are all the means of the others.

    Parameters
    ----------
    names : the models' names
    columns : values of the measures, NaN where missing

    Examples
    --------
    >>> values = {"acc": np.array([0.6, 0.7, 0.8, 0.7]), "near": np.array([0.3, 0.2, 0.4, 0.3])}
    >>> summary_rows(["a", "b", "c", "Mean"], values)
    ({3: 'it is the mean of the other rows'}, ())
    >>> summary_rows(["a", "b", "c", "Mean Teacher"], values)
    ({}, ())
    """
    named = {row: kind for row, name in enumerate(names) if name and (kind := summary_of(name))}
    values = np.array(list(columns.values()), dtype=float).reshape(len(columns), len(names))
    found, kept = {}, []
    for row, kind in named.items():
        if _is(kind, row, named, values):
            found[row] = f"it is the {kind} of the other rows"
        elif _at_an_end(row, named, len(names)) and not WEAK.fullmatch(_plain(str(names[row]))):
            found[row] = f"it has the name of a summary ({kind}) and stands at an end of the table"
        else:
            kept.append(
                f"The row {names[row]} has the name of a summary but not its values: kept as a model. Take it out of "
                "the table if it is none."
            )
    last = len(names) - 1
    if last > LEAST and last not in named and _is("mean", last, {**named, last: ""}, values, least=LEAST):
        found[last] = "all its values are the means of the other rows"
    return found, tuple(kept)


def _at_an_end(row: int, named: Mapping[int, str], rows: int) -> bool:
    """Whether only summaries stand before the row, or behind it."""
    return all(each in named for each in range(row)) or all(each in named for each in range(row, rows))


def _is(kind: str, row: int, named: Mapping[int, str], values: Array, least: int = 1) -> bool:
    """Whether a row's values are the summary of some others: all, those above it, or those since the last summary."""
    groups = (rows for rows in _others(row, named, values.shape[1]) if len(rows) > 1)
    return any(_agree(kind, values[:, row], values[:, rows], least) for rows in groups)


def _others(row: int, named: Mapping[int, str], rows: int) -> Iterator[list[int]]:
    models = [each for each in range(rows) if each not in named]
    above = [each for each in models if each < row]
    since = max((each for each in named if each < row), default=-1)
    yield from (models, above, [each for each in above if each > since])


def _agree(kind: str, summary: Array, others: Array, least: int) -> bool:
    """Whether the columns that vary have this summary, as exactly as it is written: most of many, all of a few."""
    hits = [
        any(_close(written, exact) for exact in _summaries(kind, row[np.isfinite(row)]))
        for written, row in zip(summary, others, strict=True)
        if np.isfinite(written) and np.isfinite(row).sum() > 1 and np.ptp(row[np.isfinite(row)]) > 0
    ]
    return len(hits) >= least and sum(hits) / len(hits) >= (1 if len(hits) <= LEAST or least > 1 else MOST)


def _close(written: float, exact: float) -> bool:
    """Whether a number is another as rounded to its digits; the others may have been rounded before."""
    digits = len(f"{written:.10g}".partition(".")[2])
    return abs(written - exact) <= 1.05 * 10.0**-digits


def _summaries(kind: str, values: Array) -> tuple[float, ...]:
    n = len(values)
    sds = [float(values.std(ddof=ddof)) for ddof in (0, 1)]
    ends = (float(values.min()), float(values.max()))
    exact: dict[str, tuple[float, ...]] = {
        "mean": (float(values.mean()),), "median": (float(np.median(values)),), "minimum": ends, "maximum": ends,
        "standard deviation": tuple(sds), "standard error": tuple(sd / n**0.5 for sd in sds),
        "variance": tuple(sd * sd for sd in sds), "total": (float(values.sum()),), "number": (float(n),),
    }  # fmt: skip
    return exact[kind]
