"""Two studies, or two models, side by side: paired differences with intervals."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from outfield.errors import UserError
from outfield.reports.comparison.base import MEASURES, Comparison, Measure, verdict
from outfield.reports.comparison.inputs import Inputs
from outfield.reports.comparison.models import UNPAIRED, Evaluated, ModelComparison
from outfield.reports.comparison.studies import StudyComparison, differences
from outfield.reports.results import Results

__all__ = [
    "MEASURES",
    "UNPAIRED",
    "Comparison",
    "Evaluated",
    "Inputs",
    "Measure",
    "ModelComparison",
    "StudyComparison",
    "compare",
    "differences",
    "verdict",
]


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
        return ModelComparison.of_cards(first, second)
    sides = (_results(first), _results(first if second is None else second))
    titles = (_title(sides[0], "first"), _title(sides[1], "second"))
    if model is None and versus is None:
        if second is None:
            raise UserError("Expected a second study, or two models of this one. Add a study, or model and versus.")
        return StudyComparison.of_studies(sides, titles)
    chosen = (model or versus or "", versus or model or "")
    if chosen[0] == chosen[1] and (second is None or _one_folder(sides)):
        raise UserError(f"Expected two models, but got {chosen[0]} twice. Name another one with --versus.")
    return ModelComparison.of_models(sides, titles, chosen)


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


def _one_folder(sides: tuple[Results, Results]) -> bool:
    first, second = (side.folder for side in sides)
    return first is not None and second is not None and first.resolve() == second.resolve()


def _title(side: Results, otherwise: str) -> str:
    names = side.rows["study"].drop_nulls().unique().sort().to_list()
    return ", ".join(names) or otherwise
