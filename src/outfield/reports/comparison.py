"""Two studies, or two models, side by side: paired differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import isnan
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import polars as pl
from scipy import stats

from outfield import registry
from outfield.errors import UnknownName, UserError, with_and
from outfield.metrics._ranking import Placements
from outfield.reports.results import DRAWS, Results
from outfield.stats import Panel, holm, panel
from outfield.stats.intervals import resampled
from outfield.stats.recommend import TIE
from outfield.store import query
from outfield.store.scores import ID, jobs
from outfield.types import Array, Estimate

KEYS = ("strategy", "seed", "detector", "set_kind", "ood", "metric")
"""What two rows must share to be a pair."""
PLACE = ("set", "part", "row")
"""What tells one scored input from another."""
Z = float(stats.norm.ppf(0.975))
Read = Callable[[], pl.DataFrame]
"""Gives one detector's scores: set, part, row, score."""
Verdict = Literal["better", "worse", "not told apart", "the same", "without an interval"]


@dataclass(frozen=True)
class Measure:
    """A measure that the overview compares: its rows, and the columns that its mean runs over."""

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


@runtime_checkable
class Evaluated(Protocol):
    """A model that was evaluated: its rows, the scores of each detector, and the content of each set, labels aside."""

    rows: pl.DataFrame
    scores: Mapping[str, pl.DataFrame]
    contents: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Pairs of values of a first and a second side; a difference is the second less the first.

    Parameters
    ----------
    names : pair of str
    sides : pair of Results
    pairs : frame
        A row a pair: strategy, seed, detector, set_kind, ood, ood_category, metric, first, second, difference.
    models : pair of str or None
        The two models, where it compares two; the unit is then the input, else the strategy or the model.
    scores : pair of mappings, optional
        The scores of each detector, where they are in memory and not in a study's folder.
    """

    names: tuple[str, str]
    sides: tuple[Results, Results]
    pairs: pl.DataFrame
    models: tuple[str, str] | None = None
    scores: tuple[Mapping[str, pl.DataFrame], Mapping[str, pl.DataFrame]] | None = None

    def frame(self) -> pl.DataFrame:
        """The pairs."""
        return self.pairs

    @cached_property
    def inputs(self) -> Inputs:
        """The AUROCs of two models on the same inputs.

        Raises
        ------
        UserError
            Two studies are compared, or the scores of each input are not there.
        """
        return _inputs(self)

    @cached_property
    def overview(self) -> pl.DataFrame:
        """A row a measure: first, second, difference, low, high, n, whether lower is better, verdict."""
        return pl.DataFrame([row for measure in MEASURES for row in self._measured(measure)])

    def _measured(self, measure: Measure) -> Iterator[dict[str, object]]:
        rows = self.of(measure.metric, measure.kind)
        if rows.is_empty():
            return
        first, second, found = self._sides(rows, measure)
        lower = not registry.find("metrics", measure.metric).higher_is_better
        yield {
            "name": measure.title, "first": first, "second": second,
            "value": found.value, "low": found.low, "high": found.high, "n": found.n or 0,
            "better": "lower" if lower else "higher", "verdict": verdict(found, lower),
        }  # fmt: skip

    def _sides(self, rows: pl.DataFrame, measure: Measure) -> tuple[float, float, Estimate]:
        """Both means and their difference, of the same values weighed in the same way."""
        if self.models is None:
            first, second = (float(_panel(rows, measure.over, side).means.mean()) for side in ("first", "second"))
            return first, second, differences(rows, measure.over, ())["all"]
        if measure.metric == "auroc" and self.scored:
            return *self.inputs.means, self.inputs.whole
        return _mean(rows["first"]), _mean(rows["second"]), Estimate(_mean(rows["difference"]))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the means leave out, each with the measures that it is left out of."""
        if self.models is not None:
            return self.inputs.notes if self.scored else (UNPAIRED,)
        titles: dict[str, list[str]] = {}
        for measure in MEASURES:
            rows = self.of(measure.metric, measure.kind)
            for note in () if rows.is_empty() else _panel(rows, measure.over, "difference").notes:
                titles.setdefault(note, []).append(measure.title)
        return tuple(f"{note} This is of {' and '.join(measures)}." for note, measures in titles.items())

    @property
    def scored(self) -> bool:
        """Whether the scores of both models on the same inputs are there."""
        try:
            return bool(self.inputs.detectors)
        except UserError:
            return False

    def of(self, metric: str, kind: str) -> pl.DataFrame:
        """Pairs of one metric on one kind of set."""
        return self.pairs.filter(pl.col("metric") == metric, pl.col("set_kind") == kind)

    def by(self, column: Literal["detector", "ood"]) -> pl.DataFrame:
        """Difference of the AUROC for every detector, or every OOD set: name, value, low, high, n, verdict.

        Raises
        ------
        UserError
            No AUROC is in both.
        """
        rows = self.of("auroc", "ood")
        if rows.is_empty():
            raise UserError("Expected AUROCs of the same strategy, seed, detector and set in both, but there is none.")
        if self.models is None:
            found = differences(rows, ("ood", "detector"), (column,))
        elif self.scored:
            found = dict(self.inputs.detectors if column == "detector" else self.inputs.sets)
        else:
            means = rows.group_by(column).agg(pl.col("difference").mean())
            found = {str(name): Estimate(value) for name, value in means.iter_rows()}
        table = [
            {"name": k, "value": e.value, "low": e.low, "high": e.high, "n": e.n or 0, "verdict": verdict(e, False)}
            for k, e in found.items()
        ]
        return pl.DataFrame(table).sort("value", "name", descending=[True, False])

    @cached_property
    def cells(self) -> pl.DataFrame:
        """Every AUROC that both have, the largest change first; intervals and p by Holm where inputs are paired."""
        rows = self.of("auroc", "ood")
        if self.models is not None and self.scored:
            return self.inputs.cells.sort(pl.col("difference").abs(), descending=True)
        by = ("strategy", "detector", "ood") if self.models is None else ("detector", "ood")
        value = pl.col("difference")
        found = rows.group_by(by).agg(
            pl.col("first", "second").mean(), value.mean(), seeds=pl.len(),
            seed_low=value.min().alias("seed_low"), seed_high=value.max().alias("seed_high"),
        )  # fmt: skip
        return found.sort(value.abs(), *by, descending=[True, *[False] * len(by)])

    @cached_property
    def only(self) -> pl.DataFrame:
        """What is only in one: side, what it is, name."""
        rows: list[tuple[str, str, str]] = []
        columns = ("strategy", "seed", "detector", "ood") if self.models is None else ("detector", "ood")
        for column in columns:
            first, second = (_names(side.test, column) for side in self._compared)
            rows += [(self.names[0], column, name) for name in sorted(first - second)]
            rows += [(self.names[1], column, name) for name in sorted(second - first)]
        return pl.DataFrame(rows, schema={"only in": pl.String, "what": pl.String, "name": pl.String}, orient="row")

    @property
    def _compared(self) -> tuple[Results, Results]:
        if self.models is None:
            return self.sides
        first, second = (
            Results(side.rows.filter(pl.col("model") == model), side.manifest, folder=side.folder)
            for side, model in zip(self.sides, self.models, strict=True)
        )
        return first, second

    @property
    def level(self) -> str:
        """What the independent units are, in the plural."""
        if self.models is not None:
            return "inputs"
        repeated = self.pairs.select("strategy", "seed").unique().height > self.pairs["strategy"].n_unique()
        return "strategies" if repeated else "models"

    @property
    def sentences(self) -> tuple[str, ...]:
        """What changed, in three sentences with their numbers."""
        return tuple(_sentences(self))


@dataclass(frozen=True, eq=False)
class Inputs:
    """Differences of the AUROCs of two models scored on the same inputs, with DeLong's paired intervals.

    The ID inputs are shared by all sets, so that means over sets and detectors average each input's placements first.
    Means over detectors are of the inputs that every detector scored, those of one detector of all its own.

    Parameters
    ----------
    whole : Estimate
        Mean over detectors and OOD sets.
    means : pair of float
        The mean AUROCs of the first and the second model that ``whole`` is the difference of.
    detectors, sets : mapping of name to Estimate
    cells : frame
        detector, ood, first, second, difference, low, high, p by Holm.
    notes : tuple of str
        What the means over detectors leave out.
    """

    whole: Estimate
    means: tuple[float, float]
    detectors: Mapping[str, Estimate]
    sets: Mapping[str, Estimate]
    cells: pl.DataFrame
    notes: tuple[str, ...] = ()


@dataclass
class _Sum:
    """Differences of placements, added up: of the ID inputs once, of each OOD set apart."""

    id: Array | float = 0.0
    ood: dict[str, Array] = field(default_factory=dict)
    first: float = 0.0
    second: float = 0.0
    count: int = 0

    def add(self, ood: str, first: Placements, second: Placements) -> None:
        self.id = self.id + (second.id - first.id)
        self.ood[ood] = self.ood.get(ood, 0.0) + (second.ood - first.ood)
        self.first += first.auroc
        self.second += second.auroc
        self.count += 1

    @property
    def means(self) -> tuple[float, float]:
        """Mean AUROCs of the first and the second model."""
        return self.first / self.count, self.second / self.count

    def estimate(self) -> Estimate:
        """Mean of the differences added, and its interval."""
        parts = [np.asarray(self.id), *self.ood.values()]
        variance = sum(float(np.var(part / self.count, ddof=1)) / len(part) for part in parts)
        value = sum(float(part.mean()) for part in self.ood.values()) / self.count
        half = Z * float(np.sqrt(variance))
        return Estimate(value, value - half, value + half, n=sum(map(len, parts)))


UNPAIRED = "The scores of each input are not there: these are differences of means, not paired and without intervals."


def compare(
    first: Path | str | pl.DataFrame | Evaluated,
    second: Path | str | pl.DataFrame | Evaluated | None = None,
    *,
    model: str | None = None,
    versus: str | None = None,
) -> Comparison:
    """Two studies, two models of one or two studies, or the cards of two models, pair by pair.

    Of two studies every value of the second is compared with the value of the first that has the same strategy, seed,
    detector and data set; intervals resample strategies (models where none is repeated), then seeds. Of two models
    AUROCs are compared on the same inputs, by DeLong's paired interval; so they are of two cards that ``evaluate``
    made, on the OOD sets of the same inputs.

    Parameters
    ----------
    first, second : path, frame or card
        Studies' folders or rows; two models may be of one study. Two cards of the same ID test data.
    model, versus : str, optional
        A model of the first and one of the second; ``versus`` is ``model`` where two studies have it.

    Raises
    ------
    UserError
        There is nothing to compare, or nothing in common.
    UnknownName
        A model is not there.

    Examples
    --------
    >>> rows = pl.DataFrame({"model": ["a", "b", "a", "b"], "detector": ["msp", "msp", "knn", "knn"],
    ...                      "ood": ["far"] * 4, "metric": ["auroc"] * 4, "value": [0.7, 0.8, 0.6, 0.7]})
    >>> found = compare(rows, rows.with_columns(pl.col("value") + 0.1))
    >>> found.overview.select("name", "n").rows()
    [('mean AUROC', 2)]
    """
    if isinstance(first, Evaluated) or isinstance(second, Evaluated):
        return _of_cards(first, second)
    sides = (_results(first), _results(first if second is None else second))
    titles = tuple(_title(side, place) for side, place in zip(sides, ("first", "second"), strict=True))
    if model is None and versus is None:
        if second is None:
            raise UserError("Expected a second study, or two models of this one. Add a study, or model and versus.")
        return Comparison(_apart(titles[0], titles[1]), sides, _paired(sides[0].test, sides[1].test, KEYS))
    chosen = (model or versus or "", versus or model or "")
    if chosen[0] == chosen[1] and (second is None or _one_folder(sides)):
        raise UserError(f"Expected two models, but got {chosen[0]} twice. Name another one with --versus.")
    return _of_models(sides, (titles[0], titles[1]), chosen)


def _results(study: object) -> Results:
    if not isinstance(study, (str, Path, pl.DataFrame)) and not hasattr(study, "iterdir"):
        raise UserError(
            f"Expected a study's folder, rows, or a card, but got a {type(study).__name__}. Pass two of one kind."
        )
    if str(study).endswith((".json", ".html", ".md")):
        raise UserError(
            f"Expected a study's folder or rows (.parquet), but got {study}. Compare cards in memory: "
            "outfield.compare(first, second) of what outfield.evaluate returned."
        )
    return Results.of(study)  # type: ignore[arg-type]  # a path of any kind


def _of_cards(first: object, second: object) -> Comparison:
    """Two evaluated models on the inputs that both have seen."""
    if not isinstance(first, Evaluated) or not isinstance(second, Evaluated):
        got = " and ".join("a card" if isinstance(one, Evaluated) else type(one).__name__ for one in (first, second))
        raise UserError(f"Expected two cards, but got {got}. Pass the cards of two models: compare(first, second).")
    known = (first.contents, second.contents)
    told = all(len(one) > 1 for one in known)
    if told and known[0].get(ID) != known[1].get(ID):
        raise UserError(
            "Expected cards of the same ID test inputs, but they differ. Evaluate both models on the same id_test "
            "(and both with or both without id_train: without it, a part of the test data is used to fit). A card of a "
            "study and one of outfield.evaluate know their inputs by other keys: make both in one way."
        )
    common = [name for name in known[0] if name in known[1] and name != ID]
    same = [name for name in common if known[0][name] == known[1][name]]
    if told and not same:
        sets = [", ".join(name for name in one if name != ID) for one in known]
        why = "under the same names they hold other inputs" if common else "none has the same name"
        raise UserError(
            f"Expected an OOD set of the same inputs in both cards, but {why}: {sets[0]} and {sets[1]}. "
            "Evaluate both models on the same ood."
        )
    sides = (Results.of(_keyed(first)), Results.of(_keyed(second)))
    models = tuple(str(side.rows["model"][0]) for side in sides)
    keys = tuple(key for key in KEYS if key not in ("strategy", "seed"))
    pairs = _paired(sides[0].test, sides[1].test, keys)
    return Comparison(
        _apart(models[0], models[1]), sides, pairs.filter("same"), (models[0], models[1]), (first.scores, second.scores)
    )


def _keyed(card: Evaluated) -> pl.DataFrame:
    """The rows of a card, each with the content of the inputs that it was measured on."""
    contents = dict(card.contents)
    if not contents:
        return card.rows
    of_set = pl.col("ood").replace_strict(contents, default=None, return_dtype=pl.String)
    return card.rows.with_columns(
        data_digest=pl.when(pl.col("set_kind") == "ood").then(of_set).otherwise(pl.lit(contents.get(ID)))
    )


def _apart(first: str, second: str) -> tuple[str, str]:
    """Two titles, told apart where they are the same.

    Examples
    --------
    >>> _apart("old", "new"), _apart("digits", "digits")
    (('old', 'new'), ('digits (first)', 'digits (second)'))
    """
    return (first, second) if first != second else (f"{first} (first)", f"{second} (second)")


def _one_folder(sides: tuple[Results, Results]) -> bool:
    first, second = (side.folder for side in sides)
    return first is not None and second is not None and first.resolve() == second.resolve()


def _of_models(sides: tuple[Results, Results], titles: tuple[str, str], chosen: tuple[str, str]) -> Comparison:
    tables = []
    for side, name in zip(sides, chosen, strict=True):
        known = side.rows["model"].unique().sort().to_list()
        if name not in known:
            raise UnknownName("model", name, known)
        tables.append(side.test.filter(pl.col("model") == name))
    keys = tuple(key for key in KEYS if key not in ("strategy", "seed"))
    names = chosen
    if chosen[0] == chosen[1]:
        names = (
            _apart(*chosen) if titles[0] == titles[1] else (f"{chosen[0]} ({titles[0]})", f"{chosen[0]} ({titles[1]})")
        )
    return Comparison(names, sides, _paired(tables[0], tables[1], keys), chosen)


def _paired(first: pl.DataFrame, second: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    kept = [name for name in (*KEYS, "ood_category", "family", "data_digest") if name not in keys]
    one = first.group_by(keys, maintain_order=True).agg(pl.col(kept).first(), first=pl.col("value").mean())
    two = second.group_by(keys, maintain_order=True).agg(
        digest=pl.col("data_digest").first(), second=pl.col("value").mean()
    )
    pairs = one.join(two, on=keys, nulls_equal=True, maintain_order="left")
    if pairs.is_empty():
        raise UserError(
            f"Expected rows with the same {', '.join(keys)} in both, but there is none. Compare studies that share "
            "strategies, detectors and data sets, or name two models."
        )
    same = (pl.col("data_digest") == pl.col("digest")).fill_null(True)
    return pairs.with_columns(difference=pl.col("second") - pl.col("first"), same=same).drop("digest", "data_digest")


def differences(rows: pl.DataFrame, axes: Sequence[str], apart: Sequence[str]) -> dict[str, Estimate]:
    """Mean difference for each name along ``apart`` (``all`` without one), over units and the other axes.

    Intervals resample units (strategies where seeds repeat them, else models), then seeds, bias-corrected; one unit
    has none.

    Examples
    --------
    >>> rows = pl.DataFrame({"strategy": ["a", "b", "c"], "seed": [0, 0, 0], "difference": [0.1, 0.2, 0.3]})
    >>> found = differences(rows, (), ())["all"]
    >>> round(found.value, 2), 0.1 <= found.low < found.high <= 0.3, found.n
    (0.2, True, 3)
    """
    found = _panel(rows, axes, "difference")
    kept = [at for at, axis in enumerate(axes) if axis in apart]
    over = tuple(at for at in range(len(axes)) if at not in kept)
    value = found.means.mean(axis=(0, *(1 + at for at in over)))
    names = found.axes[apart[0]] if apart else ("all",)
    if found.n_units < 2:
        return {name: Estimate(float(each), n=1) for name, each in zip(names, np.atleast_1d(value), strict=True)}
    draws = np.concatenate([batch.mean(axis=(1, *(2 + at for at in over))) for batch in found.resample(DRAWS)])
    ends = np.atleast_2d(resampled(value, draws, kind="bc"))
    return {
        name: Estimate(float(each), float(low), float(high), n=found.n_units)
        for name, each, (low, high) in zip(names, np.atleast_1d(value), ends, strict=True)
    }


def _panel(rows: pl.DataFrame, axes: Sequence[str], column: Literal["first", "second", "difference"]) -> Panel:
    """The pairs that have a difference as a complete array: the same pairs whichever column is asked for."""
    whole = rows.filter(pl.col("difference").is_not_nan())
    named = whole.with_columns(model=pl.format("{} {}", "strategy", "seed"), value=pl.col(column))
    return panel(named, axes, metric=None)


def verdict(one: Estimate, lower_is_better: bool) -> Verdict:
    """Whether an interval lies on the better side of 0, on the worse one, or around it.

    Examples
    --------
    >>> higher = Estimate(0.1, 0.05, 0.15)
    >>> verdict(higher, lower_is_better=False), verdict(higher, lower_is_better=True), verdict(Estimate(0.1), True)
    ('better', 'worse', 'without an interval')
    """
    if one.low > 0 or one.high < 0:
        return "better" if (one.value > 0) != lower_is_better else "worse"
    if one.value == one.low == one.high == 0:
        return "the same"
    return "without an interval" if isnan(one.low) else "not told apart"


def _inputs(comparison: Comparison) -> Inputs:
    """Detector by detector, so that no more than two detectors' scores are held."""
    common = _common(comparison)
    shared, most = _shared(_side_by_side(*places, comparison) for places in common.values())
    whole, sets, detectors, cells = _Sum(), dict[str, _Sum](), dict[str, Estimate](), []
    for detector, places in common.items():
        table, mine = _side_by_side(*places, comparison), _Sum()
        both = table.join(shared, on=PLACE, how="semi", nulls_equal=True, maintain_order="left")
        for ood, first, second in _placed(table):
            mine.add(ood, first, second)
            alone = _Sum()
            alone.add(ood, first, second)
            found = alone.estimate()
            cells.append((detector, ood, first.auroc, second.auroc, found.value, found.low, found.high))
        for ood, first, second in _placed(both):
            for total in (whole, sets.setdefault(ood, _Sum())):
                total.add(ood, first, second)
        if mine.count:
            detectors[detector] = mine.estimate()
    if not cells:
        raise UserError("Expected scores of the same inputs in both, but the data sets differ.")
    names = ["detector", "ood", "first", "second", "difference", "low", "high"]
    table = pl.DataFrame(cells, schema=names, orient="row")
    table = table.with_columns(p=pl.Series(holm([_p(row) for row in table.iter_rows(named=True)])))
    means = {name: each.estimate() for name, each in sets.items()}
    return Inputs(whole.estimate(), whole.means, detectors, means, table, tuple(_fewer(shared.height, most)))


def _shared(tables: Iterable[pl.DataFrame]) -> tuple[pl.DataFrame, int]:
    """The inputs that every detector scored that scored their set, and how many some detector scored.

    Raises
    ------
    UserError
        Fewer than two inputs of a set are left.
    """
    common: dict[str, pl.DataFrame] = {}
    most: dict[str, int] = {}
    for table in tables:
        for (name,), own in table.select(PLACE).group_by("set", maintain_order=True):
            known = common.get(str(name), own)
            most[str(name)] = max(most.get(str(name), 0), own.height)
            same = known.equals(own)
            common[str(name)] = known if same else known.join(own, on=PLACE, how="semi", nulls_equal=True)
    if not common:
        raise UserError("Expected scores of the same inputs in both, but the data sets differ.")
    if few := [name for name, places in common.items() if places.height < 2]:
        raise UserError(
            f"Expected two inputs of {', '.join(few)} or more that every detector scored, but there are fewer. "
            "Compare studies whose detectors scored the same inputs."
        )
    return pl.concat(common.values()), sum(most.values())


def _fewer(shared: int, most: int) -> Iterator[str]:
    if shared < most:
        yield (
            f"Means over detectors are of the {shared:,} of {most:,} inputs that every detector scored, so that all "
            "are compared on the same; those of one detector are of all that it scored."
        )


def _p(row: Mapping[str, float]) -> float:
    error = (row["high"] - row["low"]) / (2 * Z)
    return float(2 * stats.norm.sf(abs(row["difference"]) / error)) if error else float(row["difference"] == 0)


def _common(comparison: Comparison) -> dict[str, tuple[Read, Read]]:
    """Detector to what reads both models' scores."""
    if comparison.models is None:
        raise UserError("Expected two models, but two studies are compared. Name models to pair inputs.")
    if comparison.scores is not None:
        one, two = comparison.scores
        return {name: (partial(_itself, one[name]), partial(_itself, two[name])) for name in one if name in two}
    places = []
    for side, model in zip(comparison.sides, comparison.models, strict=True):
        if side.folder is None:
            raise UserError("Expected a study's folder, where each input's scores are, but these are rows alone.")
        found = jobs(side.folder, model).items()
        places.append({name: partial(query.scores, side.folder, model, key) for name, key in found})
    return {name: (places[0][name], places[1][name]) for name in places[0] if name in places[1]}


def _itself(table: pl.DataFrame) -> pl.DataFrame:
    return table


def _side_by_side(one: Read, two: Read, comparison: Comparison) -> pl.DataFrame:
    """Both models' scores (set, part, row, first, second) on the ID test set and every OOD set of the same inputs."""
    tables = [read().sort(PLACE, nulls_last=False) for read in (one, two)]
    same = comparison.of("auroc", "ood").filter("same")["ood"].unique().sort()
    sources = [_sources(side) for side in comparison.sides]
    wanted = [ID, *(ood for ood in same if sources[0].get(ood) == sources[1].get(ood))]
    pairs = [[table.filter(pl.col("set") == name) for table in tables] for name in wanted]
    kept = [a.rename({"score": "first"}).with_columns(second=b["score"]) for a, b in pairs if _of_one(a, b)]
    if len(kept) < 2 or kept[0]["set"][0] != ID:
        return tables[0].head(0).select(*PLACE, first="score", second="score")
    return pl.concat(kept)


def _of_one(first: pl.DataFrame, second: pl.DataFrame) -> bool:
    """Whether two tables of scores are of the same inputs, and of any."""
    return first.height > 0 and first.drop("score").equals(second.drop("score"))


def _placed(table: pl.DataFrame) -> Iterator[tuple[str, Placements, Placements]]:
    """Both models' placements on every OOD set."""
    parts = table.partition_by("set", as_dict=True, maintain_order=True)
    known = parts.pop((ID,), table.head(0))
    for (ood,), own in parts.items():
        first, second = (Placements.of(known[side].to_numpy(), own[side].to_numpy()) for side in ("first", "second"))
        yield str(ood), first, second


def _sources(side: Results) -> dict[str, object]:
    """OOD sets to where the study took them from."""
    return {each["name"]: each.get("source") for each in (side.manifest.get("study") or {}).get("ood") or ()}


def _sentences(comparison: Comparison) -> Iterator[str]:
    first, second = comparison.names
    overview = {row["name"]: row for row in comparison.overview.iter_rows(named=True)}
    if (auroc := overview.get("mean AUROC")) is not None:
        over = f" over {auroc['n']:,} {comparison.level}" if auroc["n"] else ""
        yield (
            f"{second} has a mean AUROC of {auroc['second']:.3f}, {first} of {auroc['first']:.3f}: a paired difference "
            f"of {_said(auroc)}{over}, {auroc['verdict']}."
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


def _mean(values: pl.Series) -> float:
    return float(values.mean())  # type: ignore[arg-type]  # a float column


def _names(rows: pl.DataFrame, column: str) -> set[str]:
    return set(rows[column].drop_nulls().cast(pl.String).unique().to_list())


def _title(side: Results, otherwise: str) -> str:
    names = side.rows["study"].drop_nulls().unique().sort().to_list()
    return ", ".join(names) or otherwise
