"""Two models side by side: AUROCs on the same inputs, paired; of studies, or of two cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar, Protocol, runtime_checkable

import polars as pl

from outfield.errors import UnknownName, UserError
from outfield.reports.comparison.base import KEYS, Axis, Comparison, Measure, apart, changes, pairs_of
from outfield.reports.comparison.inputs import Inputs, Read
from outfield.reports.results import Results
from outfield.store import query
from outfield.store.scores import ID, jobs
from outfield.types import Estimate

MODEL_KEYS = tuple(key for key in KEYS if key not in ("strategy", "seed"))
UNPAIRED = "The scores of each input are not there: these are differences of means, not paired and without intervals."


@runtime_checkable
class Evaluated(Protocol):
    """A model that was evaluated: its rows, the scores of each detector, and the content of each set, labels aside."""

    rows: pl.DataFrame
    scores: Mapping[str, pl.DataFrame]
    contents: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class ModelComparison(Comparison):
    """Two models; the unit is the input.

    Parameters
    ----------
    models : pair of str
    scores : pair of mappings, optional
        The scores of each detector, where they are in memory and not in a study's folder.

    Examples
    --------
    >>> from outfield.reports.comparison import compare
    >>> rows = pl.DataFrame({"model": ["a", "b"] * 2, "detector": ["msp"] * 2 + ["knn"] * 2, "ood": ["far"] * 4,
    ...                      "metric": ["auroc"] * 4, "value": [0.75, 0.875, 0.5, 0.625]})
    >>> found = compare(rows, model="a", versus="b")
    >>> found.names, found.level, found.scored, found.notes
    (('a', 'b'), 'inputs', False, ('The scores of each input are not there: ... not paired and without intervals.',))
    """

    models: tuple[str, str]
    scores: tuple[Mapping[str, pl.DataFrame], Mapping[str, pl.DataFrame]] | None = None

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
        return cls(apart(one, other), sides, pairs, (one, other), (first.scores, second.scores))

    @property
    def level(self) -> str:
        """``inputs``."""
        return "inputs"

    @property
    def intervals(self) -> str:
        """How the intervals come about, in a sentence."""
        if self.scored:
            return (
                "95% intervals are DeLong's for AUROCs on the same inputs, from the scores as they were kept (single "
                "precision); n counts the inputs. Other measures have no paired interval, for the study keeps no "
                "predictions."
            )
        return "The scores of the same inputs are not there for both models, so that differences have no interval."

    @property
    def notes(self) -> tuple[str, ...]:
        """What the means over detectors leave out, or that nothing is paired."""
        return self.inputs.notes if self.scored else (UNPAIRED,)

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
        first, second, difference = (_mean(rows[name]) for name in ("first", "second", "difference"))
        return first, second, Estimate(difference)

    def differences(self, rows: pl.DataFrame, metric: str, column: Axis) -> Mapping[str, Estimate]:
        """Mean difference for every detector, or every OOD set: of AUROCs on the same inputs, with intervals."""
        if metric == "auroc" and self.scored:
            return self.inputs.detectors if column == "detector" else self.inputs.sets
        means = rows.group_by(column).agg(pl.col("difference").mean())
        return {str(name): Estimate(value) for name, value in means.iter_rows()}

    def _readers(self) -> dict[str, tuple[Read, Read]]:
        """Detector to what reads both models' scores."""
        first, second = map(_in_memory, self.scores) if self.scores else map(_stored, self.sides, self.models)
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


def _mean(values: pl.Series) -> float:
    return float(values.mean())  # type: ignore[arg-type]  # a float column
