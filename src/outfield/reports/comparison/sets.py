"""Two models set by set: differences of the same items, or of what was published; each set counts once in the mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan
from typing import Literal, cast

import numpy as np
import polars as pl
from scipy import stats as theory

from outfield.errors import UserError, listed, with_and
from outfield.reports.comparison.base import Comparison, Flip, Verdict, apart, verdict
from outfield.reports.comparison.logs import Log
from outfield.stats import (
    Difference,
    benjamini_hochberg,
    holm,
    independent_difference,
    mean_difference,
    paired_difference,
)
from outfield.stats.differences import UNPAIRED
from outfield.tables.directions import higher_is_better
from outfield.types import Estimate

Correction = Literal["holm", "bh"]
CORRECTIONS = {"holm": (holm, "Holm"), "bh": (benjamini_hochberg, "Benjamini-Hochberg")}
LARGEST = 20
"""Of scores that are not 0 or 1, the changes that are listed in each direction."""
Z = float(theory.norm.ppf(0.975))
KEY = ("set", "metric")
LACKING = {"only in": pl.String, "what": pl.String, "name": pl.String}


@dataclass(frozen=True)
class Directions:
    """Measures of which the user says that more, or less, is better.

    Examples
    --------
    >>> stated = Directions(lower=("toxic",))
    >>> stated.of("toxic", {}), stated.of("acc,none", {}), stated.of("mine", {"mine": True}), stated.of("mine", {})
    (False, True, True, None)
    """

    higher: tuple[str, ...] = ()
    lower: tuple[str, ...] = ()

    def of(self, metric: str, stated: Mapping[str, bool]) -> bool | None:
        """Whether more is better: as the user says, as the logs say, as the name tells; None where nobody does."""
        plain = metric.partition(",")[0]
        for names, flag in ((self.higher, True), (self.lower, False)):
            if {metric, plain} & set(names):
                return flag
        return stated.get(metric, stated.get(plain, higher_is_better(plain)))


@dataclass(frozen=True, eq=False)
class SetDifference:
    """The difference of one measure on one set, and whether more of the measure is better."""

    set: str
    metric: str
    higher: bool
    found: Difference


@dataclass(frozen=True, eq=False)
class SetComparison(Comparison):
    """Two models by their logs, or by two columns or rows of a table.

    Parameters
    ----------
    differences : tuple of SetDifference
    moved : tuple of Flip
        Items that one gets right and the other does not.
    lacking : frame
        What is only in one.
    remarks : tuple of str
        What was left out or assumed.
    correction : ``"holm"`` or ``"bh"``
        Of p over the sets of a measure.
    told : pair of mappings
        Where both come from.

    Examples
    --------
    >>> common = {"set": ["arc"] * 90, "metric": ["acc"] * 90, "item": list(map(str, range(90)))}
    >>> one, two = (Log(name, pl.DataFrame(common | {"score": [1.0] * right + [0.0] * (90 - right)}))
    ...             for name, right in (("a", 50), ("b", 65)))
    >>> found = of_logs(one, two)
    >>> found.overview.select("name", "value", "verdict").row(0), len(found.flips)
    (('acc, arc', 0.16666666666666666, 'better'), 15)
    """

    differences: tuple[SetDifference, ...]
    moved: tuple[Flip, ...] = ()
    lacking: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LACKING))
    remarks: tuple[str, ...] = ()
    correction: Correction = "holm"
    told: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})

    @property
    def level(self) -> str:
        """``items``, ``clusters`` of them, or ``sets``."""
        of = [one.found for one in self.differences]
        if all(found.method in ("none", UNPAIRED) for found in of):
            return "sets"
        return "clusters of items" if any(found.n_units < found.estimate.n for found in of) else "items"

    @property
    def intervals(self) -> str:
        """How the intervals come about, in a sentence."""
        methods = list(dict.fromkeys(one.found.method for one in self.differences if one.found.method != "none"))
        if not methods:
            return "Differences have no interval, for neither items nor standard errors are there."
        several = max(self._sets.values()) > 1
        corrected = f" p is by {CORRECTIONS[self.correction][1]} over the sets of a measure." if several else ""
        return f"95% intervals: {'; '.join(methods)}.{corrected} n counts items."

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out or assumed."""
        return tuple(dict.fromkeys([*self.remarks, *(note for one in self.differences for note in one.found.notes)]))

    @property
    def only(self) -> pl.DataFrame:
        """What is only in one: side, what it is, name."""
        return self.lacking

    @property
    def flips(self) -> tuple[Flip, ...]:
        """The items that one gets right and the other does not."""
        return self.moved

    @property
    def stories(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Where both come from."""
        return self.told

    @property
    def _sets(self) -> dict[str, int]:
        names = [one.metric for one in self.differences]
        return {name: names.count(name) for name in names}

    @cached_property
    def overview(self) -> pl.DataFrame:
        """A row a measure and set; the mean over sets comes first, where there are several.

        Columns: name, set, metric, first, second, value (second less first), low, high, n, units, p, p corrected over
        the sets, better, verdict, detectable (80% power), gained, lost, method, and the standard errors of both.
        """
        corrected = self._corrected()
        rows = [self._row(one, corrected[at], self._sets[one.metric]) for at, one in enumerate(self.differences)]
        means = [self._row(one, one.found.p, 1) for one in self._means()]
        return pl.DataFrame([*means, *rows], schema_overrides=TYPES)

    def _corrected(self) -> list[float]:
        p = np.array([one.found.p for one in self.differences])
        for metric in self._sets:
            own = np.array([one.metric == metric for one in self.differences])
            p[own] = CORRECTIONS[self.correction][0](p[own])
        return [float(value) for value in p]

    def _row(self, one: SetDifference, corrected: float, tests: int) -> dict[str, object]:
        found, ends = one.found, one.found.estimate
        name = one.metric if one.set == "items" else f"{one.metric}, {one.set}"
        return {
            "name": name, "set": one.set, "metric": one.metric, "first": found.first, "second": found.second,
            "value": ends.value, "low": ends.low, "high": ends.high, "n": ends.n or None,
            "units": found.n_units or None, "p": found.p, "p corrected": corrected,
            "better": "higher" if one.higher else "lower",
            "verdict": _judged(one, corrected), "detectable": found.detectable(tests),
            "gained": found.gained, "lost": found.lost, "method": found.method, "error": found.error,
            "first_error": found.first_error, "second_error": found.second_error,
        }  # fmt: skip

    def _means(self) -> Iterator[SetDifference]:
        """The mean over the sets of each measure that several sets have."""
        for metric, count in self._sets.items():
            if count > 1:
                own = [one for one in self.differences if one.metric == metric]
                yield SetDifference(
                    f"mean of {count} sets", metric, own[0].higher, mean_difference([one.found for one in own])
                )

    @property
    def sentences(self) -> tuple[str, ...]:
        """What changed, what could have been seen, which items flipped."""
        return tuple(_sentences(self))


TYPES = {"n": pl.Int64, "units": pl.Int64, "gained": pl.Int64, "lost": pl.Int64}


def _judged(one: SetDifference, p: float) -> Verdict:
    """As the interval says, where the corrected p agrees."""
    said = verdict(one.found.estimate, higher_is_better=one.higher)
    return "not told apart" if said in ("better", "worse") and not p < 0.05 else said


def _sentences(found: SetComparison) -> Iterator[str]:
    first, second = found.names
    table = found.overview
    head = table.row(0, named=True)
    units = f" over {head['n']:,} items" if head["n"] else ""
    yield (
        f"{head['name']}: {second} has {head['second']:.3f}, {first} {head['first']:.3f}, a difference of {_said(head)}"
        f"{units}{_p(head['p corrected'])}: {_words(head['verdict'], second)}."
    )
    single = table.filter(~pl.col("set").str.starts_with("mean of "))
    if single.height > 1:
        yield _counted(single, second)
    if head["detectable"] == head["detectable"] and head["detectable"] is not None:
        missed = " A smaller one may be there and not be seen." if head["verdict"] == "not told apart" else ""
        yield (
            f"With these data a true difference of {head['detectable']:.3f} or more would be found with a chance of "
            f"80%.{missed}"
        )
    if single["gained"].is_not_null().any():
        gained, lost = int(single["gained"].sum()), int(single["lost"].sum())
        of = " of one measure on one set" if single.height == 1 else " over all measures and sets"
        yield f"Items{of}: {gained:,} are right in {second} alone, {lost:,} in {first} alone."


def _counted(table: pl.DataFrame, second: str) -> str:
    parts = {
        word: [row["name"] for row in table.iter_rows(named=True) if row["verdict"] == word]
        for word in ("better", "worse")
    }
    rest = table.height - sum(map(len, parts.values()))
    named = {word: f" ({with_and(names)})" if names else "" for word, names in parts.items()}
    return (
        f"Of {table.height} single differences {second} is better in {len(parts['better'])}{named['better']}, worse in "
        f"{len(parts['worse'])}{named['worse']}, and {rest} cannot be told apart."
    )


def _p(value: float) -> str:
    return "" if isnan(value) else " (p < 0.001)" if value < 0.001 else f" (p = {value:.3f})"


def _words(said: str, second: str) -> str:
    words = {
        "better": f"{second} is better",
        "worse": f"{second} is worse",
        "not told apart": "the two are not told apart",
    }
    return words.get(said, said)


def _said(row: Mapping[str, float]) -> str:
    ends = "" if isnan(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    return f"{row['value']:+.3f}{ends}"


def of_logs(
    first: Log, second: Log, directions: Directions | None = None, *, correction: Correction = "holm"
) -> SetComparison:
    """Two logs, set by set and measure by measure.

    Raises
    ------
    UserError
        They share no set, no measure or no item, or no measure's direction is known.
    """
    if correction not in CORRECTIONS:
        raise UserError(f"Expected the correction {' or '.join(CORRECTIONS)}, but got {correction!r}. Choose one.")
    names = apart(first.model, second.model)
    pairs = _common(first, second)
    higher, unknown = _directions(pairs, (first, second), directions or Directions())
    remarks = [*first.notes, *second.notes, *unknown]
    kept = [pair for pair in pairs if pair[1] in higher]
    differences: list[SetDifference] = []
    flips: list[Flip] = []
    only = list(_only_sets(first, second, names))
    for at in kept:
        one, two = (_at(log.items, at) for log in (first, second))
        if one.is_empty() or two.is_empty():
            found = independent_difference(_published(first, at), _published(second, at))
            differences.append(SetDifference(*at, higher[at[1]], found))
            continue
        both = _paired(one, two, at, names)
        only += _only_items(one, two, at, names)
        remarks += _half_clustered(both, at)
        clusters = both["cluster"] if not both["cluster"].has_nulls() else None
        found = paired_difference(both["score"], both["score of second"], clusters)
        differences.append(SetDifference(*at, higher[at[1]], found))
        flips += _flips(both, at, higher=higher[at[1]], binary=found.gained is not None)
    lacking = pl.DataFrame(only, schema=LACKING, orient="row")
    if any(each.found.method == UNPAIRED for each in differences):
        remarks.append("Means and standard errors alone are there: intervals are as if the items were not the same.")
    return SetComparison(
        names, tuple(differences), tuple(flips), lacking.unique(maintain_order=True), tuple(remarks), correction,
        (first.story, second.story),
    )  # fmt: skip


def _keys(log: Log) -> list[tuple[str, str]]:
    found = [*log.items.select(KEY).unique(maintain_order=True).rows(), *log.values.select(KEY).rows()]
    return cast("list[tuple[str, str]]", list(dict.fromkeys(found)))


def _common(first: Log, second: Log) -> list[tuple[str, str]]:
    one, two = _keys(first), _keys(second)
    if pairs := [pair for pair in one if pair in two]:
        return pairs
    for place, what, do in ((0, "sets", "Name logs of one task."), (1, "measures", "Name logs of one measure.")):
        sides = [list(dict.fromkeys(pair[place] for pair in pairs)) for pairs in (one, two)]
        if not set(sides[0]) & set(sides[1]):
            raise UserError(
                f"Expected {what} that are in both, but {first.model} has {listed(sides[0]) or 'none'}, {second.model} "
                f"{listed(sides[1]) or 'none'}. {do}"
            )
    raise UserError("Expected a measure of the same set in both, but there is none. Name logs of one task.")


def _directions(
    pairs: Sequence[tuple[str, str]], logs: tuple[Log, Log], stated: Directions
) -> tuple[dict[str, bool], list[str]]:
    known = {**logs[1].higher, **logs[0].higher}
    metrics = list(dict.fromkeys(metric for _, metric in pairs))
    if strange := sorted({*stated.higher, *stated.lower} - set(metrics) - {name.partition(",")[0] for name in metrics}):
        raise UserError(
            f"Expected the name of a measure after --higher and --lower, but got {listed(strange)}. Both have "
            f"{listed(metrics)}."
        )
    found = {metric: stated.of(metric, known) for metric in metrics}
    unknown = [metric for metric, flag in found.items() if flag is None]
    if len(unknown) == len(metrics):
        raise UserError(
            f"Expected to know whether more of {listed(unknown)} is better, but the name does not tell. Say so with "
            f"--higher {unknown[0]} or --lower {unknown[0]}."
        )
    said = f"Left out: {listed(unknown)}. The name does not tell whether more is better: say --higher or --lower."
    return {metric: flag for metric, flag in found.items() if flag is not None}, [said] if unknown else []


def _at(table: pl.DataFrame, at: tuple[str, str]) -> pl.DataFrame:
    own = table.filter(pl.col("set") == at[0], pl.col("metric") == at[1])
    absent = [name for name in ("cluster", "content", "text", "answer", "target") if name not in own.columns]
    return own.with_columns(pl.lit(None, dtype=pl.String).alias(name) for name in absent)


def _published(log: Log, at: tuple[str, str]) -> Estimate:
    """A mean with its interval: as published, or of the items."""
    own = _at(log.items, at)
    if own.height:
        found = paired_difference(np.zeros(own.height), own["score"])
        return Estimate(
            found.second, found.second - Z * found.second_error, found.second + Z * found.second_error, own.height
        )
    value, low, high, n = log.values.filter(set=at[0], metric=at[1]).select("value", "low", "high", "n").row(0)
    return Estimate(value, nan if low is None else low, nan if high is None else high, n=n or 0)


def _paired(first: pl.DataFrame, second: pl.DataFrame, at: tuple[str, str], names: tuple[str, str]) -> pl.DataFrame:
    both = first.join(second, on="item", suffix=" of second", maintain_order="left")
    if both.height < 2:
        sides = [listed(table["item"].head(3).to_list()) for table in (first, second)]
        raise UserError(
            f"Expected items of {at[0]} that are in both, but {both.height or 'none'} of {first.height} and "
            f"{second.height} {'is' if both.height == 1 else 'are'}: {names[0]} has {sides[0]}, {names[1]} {sides[1]}. "
            "Name the column of ids that both share with --id."
        )
    other = both.filter(pl.col("content") != pl.col("content of second"))
    if other.height:
        raise UserError(
            f"Expected the same items under the same ids, but {other.height} of {both.height} in {at[0]} differ in "
            f"what they hold ({listed(other['item'].head(3).to_list())}). Compare logs of one version of the data, or "
            "name another column of ids with --id."
        )
    return both


def _half_clustered(both: pl.DataFrame, at: tuple[str, str]) -> Iterator[str]:
    if 0 < both["cluster"].null_count() < both.height:
        yield f"{at[0]}: {both['cluster'].null_count()} items have no cluster, so that items are taken as independent."


def _only_sets(first: Log, second: Log, names: tuple[str, str]) -> Iterator[tuple[str, str, str]]:
    one, two = _keys(first), _keys(second)
    for name, own, other in ((names[0], one, two), (names[1], two, one)):
        for place, what in enumerate(KEY):
            known = {pair[place] for pair in other}
            for each in dict.fromkeys(pair[place] for pair in own):
                if each not in known:
                    yield name, what, each


def _only_items(
    first: pl.DataFrame, second: pl.DataFrame, at: tuple[str, str], names: tuple[str, str]
) -> Iterator[tuple[str, str, str]]:
    for name, own, other in ((names[0], first, second), (names[1], second, first)):
        alone = own.join(other, on="item", how="anti", maintain_order="left")["item"].to_list()
        if alone:
            yield name, f"items of {at[0]}", f"{len(alone):,}: {listed(alone, most=20)}"


def _flips(both: pl.DataFrame, at: tuple[str, str], *, higher: bool, binary: bool) -> Iterator[Flip]:
    moved = both.with_columns(by=pl.col("score of second") - pl.col("score")).filter(pl.col("by") != 0)
    if not binary:
        ends = [moved.sort("by", descending=down, maintain_order=True).head(LARGEST) for down in (False, True)]
        moved = pl.concat(ends).unique(subset="item", maintain_order=True)
    for row in moved.iter_rows(named=True):
        yield Flip(
            *at, row["item"], row["score"], row["score of second"], (row["by"] > 0) == higher,
            row["text"] or row["text of second"] or "", said=(row["answer"] or "", row["answer of second"] or ""),
            target=row["target"] or row["target of second"] or "",
        )  # fmt: skip
