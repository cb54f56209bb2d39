"""Two studies, models, cards, logs, or columns of a table side by side: paired differences with intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import polars as pl

from outfield.errors import UserError
from outfield.places import is_remote, place
from outfield.reports.comparison.base import MEASURES, Comparison, Flip, Measure, RowComparison, verdict
from outfield.reports.comparison.cards import StoredCard, stored_card
from outfield.reports.comparison.columns import two_of
from outfield.reports.comparison.inputs import Inputs
from outfield.reports.comparison.item_tables import FRAME, of_records
from outfield.reports.comparison.logs import Log, Reading
from outfield.reports.comparison.models import UNPAIRED, Evaluated, ModelComparison
from outfield.reports.comparison.sets import Correction, Directions, SetComparison, of_logs
from outfield.reports.comparison.sources import are_logs, read
from outfield.reports.comparison.studies import StudyComparison, differences
from outfield.reports.results import Results
from outfield.stats.frames import as_frame

__all__ = [
    "MEASURES",
    "UNPAIRED",
    "Comparison",
    "Evaluated",
    "Flip",
    "Inputs",
    "Measure",
    "ModelComparison",
    "RowComparison",
    "SetComparison",
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
    id: str | None = None,
    group: str | None = None,
    set: str | None = None,
    metrics: Sequence[str] = (),
    measure: str | None = None,
    items: int | None = None,
    higher: Sequence[str] = (),
    lower: Sequence[str] = (),
    correction: Correction = "holm",
) -> Comparison:
    """Two studies, two models, two cards, two logs, or two columns or rows of a table, pair by pair.

    Of two studies every value of the second is compared with the value of the first that has the same strategy, seed,
    detector and data set; intervals resample strategies (models where none is repeated), then seeds. Of two models
    AUROCs are compared on the same inputs, by DeLong's paired interval; so they are of two cards that ``evaluate``
    made, on the OOD sets of the same inputs. Of two logs items are paired by their ids.

    Parameters
    ----------
    first, second : path, frame or card
        Studies' folders or rows (two models may be of one study); cards, as ``evaluate`` returns them or as their JSON;
        logs of lm-evaluation-harness (``samples_*.jsonl``, ``results_*.json``, a folder of them) or Inspect (``.json``,
        ``.eval``); tables with an item a row; or one table, with ``model`` and ``versus``.
    model, versus : str, optional
        A model of the first and one of the second; ``versus`` is ``model`` where two studies have it. Of a table, two
        of its columns, or two of its rows.
    id, group, set : str, optional
        Of logs and tables: the column of what an item is called, of the document or prompt that it belongs to, of the
        set that it is of. Logs are searched for them; items of one group are no independent items.
    metrics : sequence of str
        Of logs: the scores to compare. Of rows of a table: the columns.
    measure : str, optional
        What all columns of a table hold, where they are named after sets.
    items : int, optional
        On how many items each share in a table rests.
    higher, lower : sequence of str
        Measures of which more, or less, is better, where their names do not tell.
    correction : ``"holm"`` or ``"bh"``
        Of p over the sets of a measure in logs and tables.

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
    >>> table = pl.DataFrame({"item": list("stuvwxyz"), "a": [1, 0, 0, 0, 1, 0, 0, 0], "b": [1] * 7 + [0]})
    >>> print(compare(table, model="a", versus="b").sentences[0])
    correct: b has 0.875, a 0.250, a difference of +0.625 [+0.084, +0.916] over 8 items (p = 0.062): the two are ...
    """
    how = Reading(id, group, set, tuple(metrics), measure, items)
    stated = Directions(tuple(higher), tuple(lower))
    if isinstance(first, Evaluated) or isinstance(second, Evaluated):
        return ModelComparison.of_cards(*(_card(one) for one in (first, second)))
    one = _read(first)
    if second is None and model is not None and versus is not None and not isinstance(one, Results):
        return of_logs(*two_of(first, model, versus, how), stated, correction=correction)
    if second is None:
        if not isinstance(one, Results):
            raise UserError(f"Expected something to compare {first} with. Name a second one, or two models of a table.")
        return _of_rows((one, one), (model, versus), alone=True)
    if _same_file(first, second) and not isinstance(one, Results):
        raise UserError(f"Expected two results, but {first} and {second} are identical: there is nothing to compare.")
    other = _read(second)
    if isinstance(one, Results) and isinstance(other, Results):
        return _of_rows((one, other), (model, versus), alone=False)
    if model is not None or versus is not None:
        raise UserError("Expected two studies, or one table, with names of models, but got two files. Leave them out.")
    if isinstance(one, StoredCard) and isinstance(other, StoredCard):
        return ModelComparison.of_cards(one, other)
    if isinstance(one, StoredCard | Results) or isinstance(other, StoredCard | Results):
        raise UserError(
            f"Expected two of one kind, but got {_kind(one)} and {_kind(other)}. Compare study with study, card with "
            "card, log with log."
        )
    logs = (one(how), other(how))
    return of_logs(*logs, stated, correction=correction)


ROW_COLUMNS = {"model", "metric", "value"}
"""What rows of a study have, and no table of items."""
Unread = Callable[[Reading], Log]
"""A log or a table that is read as the user says."""


def _read(given: object) -> Results | StoredCard | Unread:
    """What a user names: a study's rows, a card, or what is read as a log."""
    if isinstance(given, pl.DataFrame):
        return Results.of(given) if set(given.columns) >= ROW_COLUMNS else partial(of_records, given.to_dicts(), FRAME)
    if not isinstance(given, (str, Path)) and not hasattr(given, "iterdir"):
        raise UserError(
            f"Expected a study's folder, rows, a card or a log, but got a {type(given).__name__}. Pass two of one kind."
        )
    path = place(given)  # type: ignore[arg-type]  # a path of any kind
    ending = str(given).rpartition(".")[2].lower()
    if ending in ("html", "md"):
        raise UserError(
            f"Expected results, but {given} is a page. Compare what it was made of: a study's folder, or the card as "
            "JSON (outfield evaluate ... --json card.json)."
        )
    if ending == "json" and path.is_file() and (card := stored_card(path)) is not None:
        return card
    if ending in ("csv", "tsv", "parquet") and path.is_file():
        frame = as_frame(path)
        return Results.of(frame) if set(frame.columns) >= ROW_COLUMNS else partial(read, path)
    if ending in ("json", "jsonl", "eval", "csv", "tsv") or (not is_remote(path) and are_logs(path)):
        return partial(read, path)
    return Results.of(given)  # type: ignore[arg-type]  # a path of any kind


def _card(given: object) -> object:
    """A card in memory as it is, one in a file as it is read."""
    return _read(given) if isinstance(given, (str, Path)) and str(given).endswith(".json") else given


def _kind(found: Results | StoredCard | Unread) -> str:
    return "a study" if isinstance(found, Results) else "a card" if isinstance(found, StoredCard) else "a log"


def _same_file(first: object, second: object) -> bool:
    """Whether two files are one, or hold the same."""
    if not (isinstance(first, (str, Path)) and isinstance(second, (str, Path))):
        return False
    one, two = place(first), place(second)
    if not (one.is_file() and two.is_file()):
        return one.exists() and not is_remote(one) and one.resolve() == two.resolve()
    return one.stat().st_size == two.stat().st_size and one.read_bytes() == two.read_bytes()


def _of_rows(sides: tuple[Results, Results], models: tuple[str | None, str | None], *, alone: bool) -> Comparison:
    titles = (_title(sides[0], "first"), _title(sides[1], "second"))
    model, versus = models
    if model is None and versus is None:
        if alone:
            raise UserError("Expected a second study, or two models of this one. Add a study, or model and versus.")
        return StudyComparison.of_studies(sides, titles)
    chosen = (model or versus or "", versus or model or "")
    if chosen[0] == chosen[1] and (alone or _one_folder(sides)):
        raise UserError(f"Expected two models, but got {chosen[0]} twice. Name another one with --versus.")
    return ModelComparison.of_models(sides, titles, chosen)


def _one_folder(sides: tuple[Results, Results]) -> bool:
    first, second = (side.folder for side in sides)
    return first is not None and second is not None and first.resolve() == second.resolve()


def _title(side: Results, otherwise: str) -> str:
    names = side.rows["study"].drop_nulls().unique().sort().to_list()
    return ", ".join(names) or otherwise
