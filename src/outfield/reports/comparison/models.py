"""Two models side by side: AUROCs on the same inputs, paired; of studies, or of two cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import nan
from typing import ClassVar, Protocol, runtime_checkable

import polars as pl

from outfield.errors import UnknownName, UserError
from outfield.reports.comparison.base import KEYS, Axis, Flip, Measure, RowComparison, apart, changes, pairs_of
from outfield.reports.comparison.inputs import Inputs, Read, Z
from outfield.reports.results import Results
from outfield.stats import detectable, independent_difference, paired_difference
from outfield.store import query
from outfield.store.scores import ID, jobs
from outfield.types import Estimate

MODEL_KEYS = tuple(key for key in KEYS if key not in ("strategy", "seed"))
UNPAIRED = (
    "The scores of each input are not there: AUROCs are not paired by input. Intervals, where both sides have one, are "
    "wider than paired ones would be."
)
SHOWN = 24
"""Inputs of each kind of flip whose text or picture is shown."""
ANSWERED = pl.DataFrame(
    schema={"row": pl.Int64, "label": pl.String, "first": pl.Float64, "second": pl.Float64}
    | {"said": pl.String, "said_of_second": pl.String}
)


@runtime_checkable
class Evaluated(Protocol):
    """A model that was evaluated: its rows, the scores of each detector, and the content of each set, labels aside.

    ``answers`` holds what it said to each ID test input (row, label, said, right); ``shown`` gives texts and pictures
    (as data URIs) of some rows.
    """

    rows: pl.DataFrame
    scores: Mapping[str, pl.DataFrame]
    contents: Mapping[str, str]
    answers: pl.DataFrame

    def shown(self, rows: Sequence[int]) -> Mapping[int, tuple[str, str]]: ...


@dataclass(frozen=True, eq=False)
class ModelComparison(RowComparison):
    """Two models; the unit is the input.

    Parameters
    ----------
    models : pair of str
    cards : pair of Evaluated, optional
        The evaluated models, where they are not in a study's folder.

    Examples
    --------
    >>> from outfield.reports.comparison import compare
    >>> rows = pl.DataFrame({"model": ["a", "b"] * 2, "detector": ["msp"] * 2 + ["knn"] * 2, "ood": ["far"] * 4,
    ...                      "metric": ["auroc"] * 4, "value": [0.75, 0.875, 0.5, 0.625]})
    >>> found = compare(rows, model="a", versus="b")
    >>> found.names, found.level, found.scored, found.notes
    (('a', 'b'), 'inputs', False, ('The scores of each input are not there: AUROCs are not paired by input. ...',))
    """

    models: tuple[str, str]
    cards: tuple[Evaluated, Evaluated] | None = None

    across: ClassVar[str] = "ood"
    of_pairs: ClassVar[tuple[str, ...]] = ("detector", "ood")

    @classmethod
    def of_models(
        cls, sides: tuple[Results, Results], titles: tuple[str, str], models: tuple[str, str]
    ) -> ModelComparison:
        """A model of the first study against one of the second; the studies may be one.

        Raises
        ------
        UnknownName
            A model is not there.
        UserError
            Nothing is in both.
        """
        first, second = map(_tested, sides, models)
        return cls(_names(models, titles), sides, pairs_of(first, second, MODEL_KEYS), models)

    @classmethod
    def of_cards(cls, first: object, second: object) -> ModelComparison:
        """Two evaluated models on the inputs that both have seen.

        Raises
        ------
        UserError
            One is no card, or they are of other inputs.
        """
        if not isinstance(first, Evaluated) or not isinstance(second, Evaluated):
            got = " and ".join(
                "a card" if isinstance(one, Evaluated) else type(one).__name__ for one in (first, second)
            )
            raise UserError(f"Expected two cards, but got {got}. Pass the cards of two models: compare(first, second).")
        _check_contents(first.contents, second.contents)
        sides = (Results.of(_with_contents(first)), Results.of(_with_contents(second)))
        one, other = (str(side.rows["model"][0]) for side in sides)
        pairs = pairs_of(sides[0].test, sides[1].test, MODEL_KEYS).filter("same")
        return cls(apart(one, other), sides, pairs, (one, other), (first, second))

    @property
    def level(self) -> str:
        """``inputs``."""
        return "inputs"

    @property
    def intervals(self) -> str:
        """How the intervals come about, in a sentence."""
        paired = {
            "AUROCs are compared on the same inputs, with DeLong's intervals, in single precision.": self.scored,
            "Accuracy is compared on the same inputs, with Bonett and Price's interval.": self.answered.height > 1,
        }
        said = [sentence for sentence, holds in paired.items() if holds]
        rest = (
            f"{'Other' if said else 'The'} differences have the intervals of both sides squared and added, as if "
            "unpaired: wider than paired ones where both models find the same inputs hard."
        )
        return " ".join([*said, rest, "n counts inputs."])

    @property
    def notes(self) -> tuple[str, ...]:
        """What the means over detectors leave out, or that nothing is paired."""
        return self.inputs.notes if self.scored else (UNPAIRED,)

    @property
    def paired(self) -> bool:
        """Whether AUROCs are compared input by input."""
        return self.scored

    @cached_property
    def overview(self) -> pl.DataFrame:
        """A row a measure, as of every comparison; with what is detectable (80% power), and errors of single values."""
        errors = (pl.col("high") - pl.col("low")) / (2 * Z)
        seen = errors.map_elements(detectable, return_dtype=pl.Float64).alias("detectable")
        return super().overview.with_columns(seen, *(pl.Series(name, of) for name, of in self._errors().items()))

    def _errors(self) -> dict[str, list[float]]:
        """Standard errors of both sides' values of each measure; NaN of means over several."""
        found: dict[str, list[float]] = {}
        for side in ("first", "second"):
            rows = [self.of(measure.metric, measure.kind) for measure in self.measures]
            ends = [_mean(one, side) if one.height == 1 else Estimate(nan) for one in rows]
            found[f"{side}_error"] = [(one.high - one.low) / (2 * Z) for one in ends]
        return found

    @cached_property
    def answered(self) -> pl.DataFrame:
        """The ID test inputs that both models answered: row, label, first, second, and what both said."""
        if self.cards is None:
            return ANSWERED
        one, two = (card.answers for card in self.cards)
        both = one.join(two, on="row", suffix=" of second", maintain_order="left")
        return both.select(
            "row", "label", first=pl.col("right").cast(pl.Float64), second=pl.col("right of second").cast(pl.Float64),
            said="said", said_of_second="said of second",
        )  # fmt: skip

    @cached_property
    def flips(self) -> tuple[Flip, ...]:
        """The ID test inputs that one model gets right and the other does not."""
        moved = self.answered.filter(pl.col("first") != pl.col("second"))
        if self.cards is None or moved.is_empty():
            return ()
        some = moved.group_by("first", maintain_order=True).head(SHOWN)["row"].to_list()
        shown = {**self.cards[1].shown(some), **self.cards[0].shown(some)}
        return tuple(
            Flip(
                "ID test", "accuracy", str(row["row"]), row["first"], row["second"], row["second"] > row["first"],
                *shown.get(row["row"], ("", "")), (row["said"], row["said_of_second"]), row["label"],
            )
            for row in moved.iter_rows(named=True)
        )  # fmt: skip

    @cached_property
    def tested(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The test rows of both models."""
        first, second = map(_tested, self.sides, self.models)
        return first, second

    @cached_property
    def inputs(self) -> Inputs:
        """The AUROCs of both models on the same inputs.

        Raises
        ------
        UserError
            The scores of each input are not there, or the inputs differ.
        """
        return Inputs.of(self._readers(), self._same_sets())

    @property
    def scored(self) -> bool:
        """Whether the scores of both models on the same inputs are there."""
        try:
            return bool(self.inputs.detectors)
        except UserError:
            return False

    @cached_property
    def cells(self) -> pl.DataFrame:
        """Every AUROC that both have, the largest change first; intervals and p by Holm where inputs are paired."""
        if self.scored:
            return self.inputs.cells.sort(pl.col("difference").abs(), descending=True)
        return changes(self.of("auroc", "ood"), ("detector", "ood"))

    def means(self, rows: pl.DataFrame, measure: Measure) -> tuple[float, float, Estimate]:
        """Both means and their difference: of AUROCs on the same inputs, with its interval."""
        if measure.metric == "auroc" and self.scored:
            return *self.inputs.means, self.inputs.whole
        if measure.metric == "accuracy" and measure.kind == "id" and self.answered.height > 1:
            found = paired_difference(self.answered["first"], self.answered["second"])
        else:
            found = independent_difference(*(_mean(rows, side) for side in ("first", "second")))
        return found.first, found.second, found.estimate

    def differences(self, rows: pl.DataFrame, metric: str, column: Axis) -> Mapping[str, Estimate]:
        """Mean difference for every detector, or every OOD set: of AUROCs on the same inputs, with intervals."""
        if metric == "auroc" and self.scored:
            return self.inputs.detectors if column == "detector" else self.inputs.sets
        parts = rows.partition_by(column, as_dict=True, maintain_order=True)
        return {
            str(name): independent_difference(_mean(part, "first"), _mean(part, "second")).estimate
            for (name,), part in parts.items()
        }

    def _readers(self) -> dict[str, tuple[Read, Read]]:
        """Detector to what reads both models' scores."""
        if self.cards:
            first, second = (_in_memory(card.scores) for card in self.cards)
        else:
            first, second = map(_stored, self.sides, self.models)
        return {name: (first[name], second[name]) for name in first if name in second}

    def _same_sets(self) -> list[str]:
        """The OOD sets that are the same for both, by their content and by where they are from."""
        same = self.of("auroc", "ood").filter("same")["ood"].unique().sort()
        first, second = map(_sources, self.sides)
        return [ood for ood in same if first.get(ood) == second.get(ood)]


def _tested(side: Results, model: str) -> pl.DataFrame:
    known = side.rows["model"].unique().sort().to_list()
    if model not in known:
        raise UnknownName("model", model, known)
    return side.test.filter(pl.col("model") == model)


def _names(models: tuple[str, str], titles: tuple[str, str]) -> tuple[str, str]:
    """Both models, with their studies' titles where they have one name."""
    if models[0] != models[1] or titles[0] == titles[1]:
        return apart(*models)
    return f"{models[0]} ({titles[0]})", f"{models[1]} ({titles[1]})"


def _check_contents(first: Mapping[str, str], second: Mapping[str, str]) -> None:
    """``UserError`` where two cards are known to share no ID test inputs, or no OOD set."""
    known = (first, second)
    if not all(len(one) > 1 for one in known):
        return
    if first.get(ID) != second.get(ID):
        raise UserError(
            "Expected cards of the same ID test inputs, but they differ. Evaluate both models on the same id_test "
            "(and both with or both without id_train: without it, a part of the test data is used to fit). A card of a "
            "study and one of outfield.evaluate know their inputs by other keys: make both in one way."
        )
    common = [name for name in first if name in second and name != ID]
    if not any(first[name] == second[name] for name in common):
        sets = [", ".join(name for name in one if name != ID) for one in known]
        why = "under the same names they hold other inputs" if common else "none has the same name"
        raise UserError(
            f"Expected an OOD set of the same inputs in both cards, but {why}: {sets[0]} and {sets[1]}. "
            "Evaluate both models on the same ood."
        )


def _with_contents(card: Evaluated) -> pl.DataFrame:
    """The rows of a card, each with the content of the inputs that it was measured on."""
    contents = dict(card.contents)
    if not contents:
        return card.rows
    of_set = pl.col("ood").replace_strict(contents, default=None, return_dtype=pl.String)
    return card.rows.with_columns(
        data_digest=pl.when(pl.col("set_kind") == "ood").then(of_set).otherwise(pl.lit(contents.get(ID)))
    )


def _in_memory(scores: Mapping[str, pl.DataFrame]) -> dict[str, Read]:
    return {name: partial(_itself, table) for name, table in scores.items()}


def _itself(table: pl.DataFrame) -> pl.DataFrame:
    return table


def _stored(side: Results, model: str) -> dict[str, Read]:
    if side.folder is None:
        raise UserError("Expected a study's folder, where each input's scores are, but these are rows alone.")
    return {name: partial(query.scores, side.folder, model, key) for name, key in jobs(side.folder, model).items()}


def _sources(side: Results) -> dict[str, object]:
    """OOD sets to where the study took them from."""
    return {each["name"]: each.get("source") for each in (side.manifest.get("study") or {}).get("ood") or ()}


def _mean(rows: pl.DataFrame, side: str) -> Estimate:
    """Mean of one side's values and of the ends of their intervals: as wide as if all moved together."""
    value, low, high = (
        rows[name].mean() if name in rows.columns and not rows[name].has_nulls() else nan
        for name in (side, f"{side}_low", f"{side}_high")
    )
    return Estimate(value, low, high, n=_inputs(rows))  # type: ignore[arg-type]  # means of float columns


def _inputs(rows: pl.DataFrame) -> int:
    """How many inputs stand behind some values: the ID ones once, those of each OOD set once; 0 where not known."""
    if not {"n_id", "n_ood"} <= set(rows.columns):
        return 0
    counts = rows.group_by("ood").agg(pl.col("n_ood").max())["n_ood"].sum() or 0
    return int((rows["n_id"].max() or 0) + counts)  # type: ignore[operator]  # whole numbers
