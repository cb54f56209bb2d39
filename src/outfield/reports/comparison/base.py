"""What every comparison has: pairs of values, an overview, differences by detector and by set, three sentences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from typing import ClassVar, Literal

import polars as pl

from outfield import registry
from outfield.errors import UserError, with_and
from outfield.reports.results import Results
from outfield.stats.recommend import TIE
from outfield.types import Estimate

KEYS = ("strategy", "seed", "detector", "set_kind", "ood", "metric")
"""What two rows must share to be a pair."""
COUNTS = ("n_id", "n_ood")
Axis = Literal["detector", "ood"]
Verdict = Literal["better", "worse", "not told apart", "the same", "without an interval"]


@dataclass(frozen=True)
class Measure:
    """A measure that the overview compares: its rows, and the columns that its mean runs over.

    Examples
    --------
    >>> Measure("mean AUPR", "aupr_out", "ood", ("ood", "detector")).over
    ('ood', 'detector')
    """

    title: str
    metric: str
    kind: str
    over: tuple[str, ...] = ()


MEASURES = (
    Measure("accuracy", "accuracy", "id"),
    Measure("ECE", "ece", "id"),
    Measure("accuracy under shift", "accuracy", "shift", ("ood",)),
    Measure("mean AUROC", "auroc", "ood", ("ood", "detector")),
    Measure("mean FPR at 95% ID", "fpr_at_95_id", "ood", ("ood", "detector")),
)
"""What every overview begins with, where there are such rows."""


@dataclass(frozen=True)
class Flip:
    """An item that one of two models gets right and the other does not; or one whose score moved.

    Parameters
    ----------
    set, metric, item : str
    first, second : float
        Its scores.
    better : bool
        Whether the second is the better one.
    text, picture : str
        What it is: a text, or a picture as a data URI; empty where the sources do not hold it.
    said : pair of str
        What both models answered.
    target : str
        The right answer.
    """

    set: str
    metric: str
    item: str
    first: float
    second: float
    better: bool
    text: str = ""
    picture: str = ""
    said: tuple[str, str] = ("", "")
    target: str = ""


@dataclass(frozen=True, eq=False)
class Comparison(ABC):
    """What a first and a second side differ in; a difference is the second less the first.

    Parameters
    ----------
    names : pair of str
    """

    names: tuple[str, str]

    @property
    @abstractmethod
    def level(self) -> str:
        """What the independent units are, in the plural."""

    @property
    @abstractmethod
    def intervals(self) -> str:
        """How the intervals come about, in a sentence."""

    @property
    @abstractmethod
    def notes(self) -> tuple[str, ...]:
        """What a reader must know: what is left out, what was assumed."""

    @property
    @abstractmethod
    def overview(self) -> pl.DataFrame:
        """A row a measure: name, first, second, value, low, high, n, whether more is better, verdict."""

    @property
    @abstractmethod
    def only(self) -> pl.DataFrame:
        """What is only in one: side, what it is, name."""

    @property
    @abstractmethod
    def sentences(self) -> tuple[str, ...]:
        """What changed, in three sentences with their numbers."""

    @property
    def flips(self) -> tuple[Flip, ...]:
        """The items that one gets right and the other does not, where single items are known."""
        return ()

    @property
    def stories(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Where both come from: file, version, what is known."""
        return {}, {}

    def frame(self) -> pl.DataFrame:
        """The measures, a row each."""
        return self.overview

    def flipped(self) -> pl.DataFrame:
        """The items that flipped as a table."""
        return pl.DataFrame(
            [
                {"set": one.set, "metric": one.metric, "item": one.item, "change": CHANGE[one.better]}
                | {"first": one.first, "second": one.second, "text": one.text, "target": one.target}
                | {"first said": one.said[0], "second said": one.said[1]}
                for one in self.flips
            ],
            schema=FLIPPED,
        )


CHANGE = {True: "better", False: "worse"}
FLIPPED = {
    "set": pl.String, "metric": pl.String, "item": pl.String, "change": pl.String, "first": pl.Float64,
    "second": pl.Float64, "text": pl.String, "target": pl.String, "first said": pl.String, "second said": pl.String,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class RowComparison(Comparison):
    """Pairs of values of two tables of rows.

    Parameters
    ----------
    sides : pair of Results
    pairs : frame
        A row a pair: strategy, seed, detector, set_kind, ood, ood_category, metric, first, second, difference, and
        what is known of the ends of both intervals.
    """

    sides: tuple[Results, Results]
    pairs: pl.DataFrame

    across: ClassVar[str]
    """The column that the differences of a detector are shown over."""
    of_pairs: ClassVar[tuple[str, ...]]
    """The columns whose names both must have for a pair."""

    @property
    @abstractmethod
    def tested(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The test rows of the first and of the second that pairs are looked for in."""

    @property
    @abstractmethod
    def cells(self) -> pl.DataFrame:
        """Every AUROC that both have, the largest change first."""

    @abstractmethod
    def means(self, rows: pl.DataFrame, measure: Measure) -> tuple[float, float, Estimate]:
        """Both means and their difference, of the same values weighed in the same way."""

    @abstractmethod
    def differences(self, rows: pl.DataFrame, metric: str, column: Axis) -> Mapping[str, Estimate]:
        """Mean difference of pairs of one metric for every detector, or every OOD set."""

    @property
    def paired(self) -> bool:
        """Whether values are compared in pairs, and not only their means."""
        return True

    @property
    def strategies(self) -> int:
        """How many strategies are paired; none where models are compared whatever their strategy."""
        return 0

    def frame(self) -> pl.DataFrame:
        """The pairs."""
        return self.pairs

    def of(self, metric: str, kind: str) -> pl.DataFrame:
        """Pairs of one metric on one kind of set."""
        return self.pairs.filter(pl.col("metric") == metric, pl.col("set_kind") == kind)

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """What the overview compares: those of ``MEASURES``, and of the metrics of other packages, that have pairs."""
        found = [*MEASURES, *_foreign(self.pairs)]
        return tuple(measure for measure in found if not self.of(measure.metric, measure.kind).is_empty())

    @cached_property
    def overview(self) -> pl.DataFrame:
        """A row a measure: first, second, difference, low, high, n, whether lower is better, verdict."""
        return pl.DataFrame([self._measured(measure) for measure in self.measures], schema_overrides={"n": pl.Int64})

    def _measured(self, measure: Measure) -> dict[str, object]:
        first, second, found = self.means(self.of(measure.metric, measure.kind), measure)
        higher = _higher_is_better(measure.metric)
        return {
            "name": measure.title, "first": first, "second": second,
            "value": found.value, "low": found.low, "high": found.high, "n": found.n or None,
            "better": "higher" if higher else "lower", "verdict": verdict(found, higher_is_better=higher),
        }  # fmt: skip

    def by(self, column: Axis, metric: str = "auroc") -> pl.DataFrame:
        """Difference of a metric for every detector, or every OOD set: name, value, low, high, n, verdict.

        Raises
        ------
        UserError
            No such value is in both.
        UnknownName
            There is no such metric.

        Examples
        --------
        >>> from outfield.reports.comparison import compare
        >>> rows = pl.DataFrame({"model": ["a", "b"] * 2, "detector": ["msp"] * 2 + ["knn"] * 2, "ood": ["far"] * 4,
        ...                      "metric": ["auroc"] * 4, "value": [0.75, 0.875, 0.5, 0.625]})
        >>> found = compare(rows, rows.with_columns(value=pl.col("value") + 0.125))
        >>> found.by("ood").select("name", "value", "n", "verdict").rows()
        [('far', 0.125, 2, 'better')]
        """
        higher = _higher_is_better(metric)
        rows = self.of(metric, "ood")
        if rows.is_empty():
            label = registry.find("metrics", metric).label
            raise UserError(
                f"Expected the {label} of the same strategy, seed, detector and set in both, but there is none."
            )
        table = [
            {"name": name, "value": one.value, "low": one.low, "high": one.high, "n": one.n or None}
            | {"verdict": verdict(one, higher_is_better=higher)}
            for name, one in self.differences(rows, metric, column).items()
        ]
        return pl.DataFrame(table, schema_overrides={"n": pl.Int64}).sort("value", "name", descending=[True, False])

    @cached_property
    def only(self) -> pl.DataFrame:
        """What is only in one: side, what it is, name.

        Examples
        --------
        >>> from outfield.reports.comparison import compare
        >>> rows = pl.DataFrame({"model": ["a", "b"] * 2, "detector": ["msp"] * 2 + ["knn"] * 2, "ood": ["far"] * 4,
        ...                      "metric": ["auroc"] * 4, "value": [0.75, 0.875, 0.5, 0.625]})
        >>> compare(rows, rows.filter(detector="msp").with_columns(study=pl.lit("new"))).only.rows()
        [('first', 'detector', 'knn')]
        """
        rows: list[tuple[str, str, str]] = []
        for column in self.of_pairs:
            first, second = (_names(table, column) for table in self.tested)
            rows += [(self.names[0], column, name) for name in sorted(first - second)]
            rows += [(self.names[1], column, name) for name in sorted(second - first)]
        return pl.DataFrame(rows, schema={"only in": pl.String, "what": pl.String, "name": pl.String}, orient="row")

    @property
    def sentences(self) -> tuple[str, ...]:
        """What changed, in three sentences with their numbers.

        Examples
        --------
        >>> from outfield.reports.comparison import compare
        >>> rows = pl.DataFrame({"model": ["a", "b"] * 2, "detector": ["msp"] * 2 + ["knn"] * 2, "ood": ["far"] * 4,
        ...                      "metric": ["auroc"] * 4, "value": [0.75, 0.875, 0.5, 0.625]})
        >>> for sentence in compare(rows, rows.with_columns(value=pl.col("value") + 0.125)).sentences:
        ...     print(sentence)
        second has a mean AUROC of 0.812, first of 0.688: a paired difference of +0.125 ... over 2 models, better.
        Of 2 detectors 2 got better, 0 worse, and 0 cannot be told apart; all differ alike: knn and msp (+0.125 each).
        """
        return tuple(_sentences(self))


def _foreign(pairs: pl.DataFrame) -> Iterator[Measure]:
    """The metrics of other packages, each over the columns that its values differ in."""
    for (name, kind), rows in pairs.group_by("metric", "set_kind", maintain_order=True):
        if _is_foreign(metric := str(name)):
            over = tuple(column for column in ("ood", "detector") if rows[column].is_not_null().any())
            yield Measure(_title(metric, str(kind)), metric, str(kind), over)


def _is_foreign(metric: str) -> bool:
    return metric in registry.names("metrics") and not registry.place_of("metrics", metric).startswith("outfield.")


def _title(metric: str, kind: str) -> str:
    label = registry.find("metrics", metric).label
    return {"ood": f"mean {label}", "shift": f"{label} under shift"}.get(kind, str(label))


def _higher_is_better(metric: str) -> bool:
    return bool(registry.find("metrics", metric).higher_is_better)


def verdict(one: Estimate, *, higher_is_better: bool) -> Verdict:
    """Whether an interval lies on the better side of 0, on the worse one, or around it.

    Examples
    --------
    >>> more = Estimate(0.1, 0.05, 0.15)
    >>> verdict(more, higher_is_better=True), verdict(more, higher_is_better=False)
    ('better', 'worse')
    >>> verdict(Estimate(0.1), higher_is_better=True)
    'without an interval'
    """
    if one.low > 0 or one.high < 0:
        return "better" if (one.value > 0) == higher_is_better else "worse"
    if one.value == one.low == one.high == 0:
        return "the same"
    return "without an interval" if isnan(one.low) else "not told apart"


def pairs_of(first: pl.DataFrame, second: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The values that have the same keys in both, and whether they are of the same data.

    Raises
    ------
    UserError
        There is none.

    Examples
    --------
    >>> rows = pl.DataFrame({"metric": ["ece"], "value": [0.25], "data_digest": ["ab"]})
    >>> rows = rows.with_columns(pl.lit(None).alias(name) for name in ("ood_category", "family", *KEYS[:-1]))
    >>> pairs = pairs_of(rows, rows.with_columns(pl.col("value") + 0.5), ["metric"])
    >>> pairs.select("first", "difference", "same").row(0)
    (0.25, 0.5, True)
    """
    kept = [name for name in (*KEYS, "ood_category", "family", "data_digest") if name not in keys]
    one = _means(first, keys, "first", pl.col(kept).first(), *(pl.col(name).max() for name in _there(first, COUNTS)))
    two = _means(second, keys, "second", digest=pl.col("data_digest").first())
    pairs = one.join(two, on=keys, nulls_equal=True, maintain_order="left")
    if pairs.is_empty():
        raise UserError(
            f"Expected rows with the same {', '.join(keys)} in both, but there is none. Compare studies that share "
            "strategies, detectors and data sets, or name two models."
        )
    same = (pl.col("data_digest") == pl.col("digest")).fill_null(True)
    return pairs.with_columns(difference=pl.col("second") - pl.col("first"), same=same).drop("digest", "data_digest")


def _means(rows: pl.DataFrame, keys: Sequence[str], side: str, *more: pl.Expr, **named: pl.Expr) -> pl.DataFrame:
    """A row a key: the mean value, and the means of its ends where rows have them."""
    ends = [pl.col(end).mean().alias(f"{side}_{end}") for end in _there(rows, ("low", "high"))]
    value = pl.col("value").mean().alias(side)
    return rows.group_by(keys, maintain_order=True).agg(*more, value, *ends, **named)


def _there(rows: pl.DataFrame, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in rows.columns]


def changes(pairs: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Means of pairs for each of some keys, the largest change first: over seeds, with the ends of what seeds give.

    Examples
    --------
    >>> pairs = pl.DataFrame({"ood": ["far"] * 2, "first": [0.5, 0.5], "second": [0.5, 1.0], "difference": [0.0, 0.5]})
    >>> changes(pairs, ["ood"]).select("difference", "seeds", "seed_low", "seed_high").row(0)
    (0.25, 2, 0.0, 0.5)
    """
    value = pl.col("difference")
    found = pairs.group_by(by).agg(
        pl.col("first", "second").mean(), value.mean(), seeds=pl.len(),
        seed_low=value.min().alias("seed_low"), seed_high=value.max().alias("seed_high"),
    )  # fmt: skip
    return found.sort(value.abs(), *by, descending=[True, *[False] * len(by)])


def apart(first: str, second: str) -> tuple[str, str]:
    """Two titles, told apart where they are the same.

    Examples
    --------
    >>> apart("old", "new"), apart("digits", "digits")
    (('old', 'new'), ('digits (first)', 'digits (second)'))
    """
    return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")


def _sentences(comparison: RowComparison) -> Iterator[str]:
    first, second = comparison.names
    overview = {row["name"]: row for row in comparison.overview.iter_rows(named=True)}
    if (auroc := overview.get("mean AUROC")) is not None:
        over = f" over {auroc['n']:,} {comparison.level}" if auroc["n"] else ""
        yield (
            f"{second} has a mean AUROC of {auroc['second']:.3f}, {first} of {auroc['first']:.3f}: a "
            f"{'paired ' * comparison.paired}difference of {_said(auroc)}{over}, {auroc['verdict']}."
        )
        yield _counted(comparison.by("detector"))
    rest = [row for name, row in overview.items() if name != "mean AUROC"]
    if rest:
        yield "Besides: " + "; ".join(f"{row['name']} {_said(row)} ({row['verdict']})" for row in rest) + "."


def _counted(table: pl.DataFrame) -> str:
    better, worse = (table.filter(pl.col("verdict") == each) for each in ("better", "worse"))
    rest = table.height - better.height - worse.height
    most, least = _end(table, pl.col("value").max()), _end(table, pl.col("value").min())
    ends = f"all differ alike: {most}" if most == least else f"at the ends are {most} and {least}"
    return (
        f"Of {table.height} detectors {better.height} got better, {worse.height} worse, and {rest} cannot be told "
        f"apart; {ends}."
    )


def _end(table: pl.DataFrame, end: pl.Expr) -> str:
    """All detectors of one difference; with its interval where it is that of one."""
    tied = table.filter((pl.col("value") - end).abs() <= TIE)
    alone = _said(tied.row(0, named=True)) if tied.height == 1 else f"{tied['value'][0]:+.3f} each"
    return f"{with_and(tied['name'].to_list())} ({alone})"


def _said(row: Mapping[str, float]) -> str:
    ends = "" if row["low"] != row["low"] else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"{row['value']:+.3f}{ends}"


def _names(rows: pl.DataFrame, column: str) -> set[str]:
    return set(rows[column].drop_nulls().cast(pl.String).unique().to_list())
