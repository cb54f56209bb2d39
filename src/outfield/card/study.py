"""The card of one model of a study, from its stored rows and scores: nothing is trained, no pass is made."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from outfield.card.classes import by_class
from outfield.card.facts import Facts
from outfield.card.hardest import Judged, answers, hardest
from outfield.card.recommendation import choose, paired
from outfield.data.base import Dataset
from outfield.data.user_data import kind_of
from outfield.data.views import subset
from outfield.errors import UserError
from outfield.features.cache import Cache, default_folder
from outfield.features.extract import cached
from outfield.places import copies, listed, place
from outfield.reports.results import CATEGORIES, in_order
from outfield.store import query
from outfield.store.data_digests import digests, unchecked
from outfield.store.settings import titles, told_apart
from outfield.store.write import ROWS, scores_path, whole
from outfield.studies.sets import like_trained, wanted
from outfield.studies.spec import Spec

TEST = "test"
"""What the ID test set is called in a study's scores."""


def study_facts(folder: Path | str, model: str, *, cache: Cache | None = None, seed: int = 0) -> Facts:
    """What one model's card holds, from a study's folder; see ``Card.of_study``."""
    folder = place(folder)
    rows = _rows(folder, model)
    tables = dict(_tables(folder, model, rows))
    rows = told_apart(rows)
    categories = _categories(rows)
    choice = choose(paired(tables, TEST, list(categories)), categories, seed)
    inputs = _Inputs.of(folder, rows, cache or Cache(default_folder()))
    judged = list(inputs.judged(tables[choice.best], [*categories, TEST]))
    test = inputs.sets.get(TEST)
    names = None if test is None else test.classes
    notes = (*_stated(folder), *inputs.notes)
    return Facts(
        _described(rows),
        rows,
        choice,
        hardest(judged, names),
        by_class(judged, names),
        "" if test is None else kind_of(test),
        _left_out(folder, tables),
        notes,
        tables,
        _measured_data(folder, rows),
        answers(judged[-1], names),
        judged[-1],
    )


def _rows(folder: Path, model: str) -> pl.DataFrame:
    quoted = model.replace("'", "''")
    rows = query.rows(folder, f"model = '{quoted}'")
    if rows.is_empty():
        raise _unknown(folder, model)
    if rows["step"].is_not_null().any():
        raise UserError(
            f"Expected a model of a study, but {model!r} is a training run that was followed over checkpoints, without "
            "scores of single inputs. Look at the report of the runs, or make its card with outfield evaluate."
        )
    return rows


def _unknown(folder: Path, model: str) -> UserError:
    known = query.sql(folder, "SELECT DISTINCT model FROM rows ORDER BY model")["model"].to_list()
    near = difflib.get_close_matches(model, known, n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are {', '.join(map(repr, known[:8]))}"
    more = f" and {len(known) - 8} more." if not near and len(known) > 8 else "" if near else "."
    return UserError(f"Expected a model of the study in {folder}, but it has no {model!r}. {hint}{more}")


def _tables(folder: Path, model: str, rows: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The scores of single inputs of each detector.

    A job's scores are found by its key: the rows of that key say which detector it was.
    """
    names = titles(rows)
    wanted = set(told_apart(rows).filter(pl.col("role") == "test")["detector"].drop_nulls())
    known = query.manifest(folder)["jobs"]
    there = {path.name: path for path in listed(folder / ROWS, "*.parquet")}
    for path in listed(scores_path(folder, model, "any").parent, "*.parquet"):
        if (known is None or path.stem in known) and path.name in there:
            for name, params in _measured(there[path.name]):
                if (title := names.get((name, params), name)) in wanted:
                    wanted.remove(title)
                    yield title, query.scores(folder, model, path.stem)
    if wanted:
        raise UserError(
            f"Expected the scores of single inputs of {model!r}, but those of {', '.join(sorted(wanted))} are not in "
            f"{folder}. A card needs them to choose a detector. Run the study again: outfield run."
        )


def _measured(path: Path) -> list[tuple[str, str]]:
    """Detector and parameters that a file of rows tells of; none where it is damaged: its rows are left out too."""
    with copies([path]) as (own,):
        if not whole(own):
            return []
        said = pl.read_parquet(own, columns=["detector", "params", "role"], glob=False)
    return (
        said.filter(pl.col("role") == "test", pl.col("detector").is_not_null())
        .select("detector", "params")
        .unique()
        .rows()
    )


def _categories(rows: pl.DataFrame) -> dict[str, str]:
    """OOD sets that detectors were measured on, with their categories, nearest first."""
    at = pl.col("role") == "test", pl.col("set_kind") == "ood", pl.col("metric") == "auroc", pl.col("part").is_null()
    found = rows.filter(*at).select("ood", pl.col("ood_category").fill_null("other")).unique().sort("ood")
    if found.is_empty():
        raise UserError(
            f"Expected detectors on OOD sets for the model {rows['model'][0]!r}, but the study has no such rows yet. "
            "A card is made of them: run the study with detectors, or look at its report."
        )
    order = in_order(found["ood_category"].unique().to_list(), CATEGORIES)
    return dict(sorted(found.iter_rows(), key=lambda row: order.index(row[1])))


def _described(rows: pl.DataFrame) -> str:
    """What the rows say of a model: strategy, family, seed, study."""
    first = rows.row(0, named=True)
    facts = {name: first[name] for name in ("strategy", "family", "seed", "study") if first[name] is not None}
    return f"{first['model']} ({', '.join(f'{name} {value}' for name, value in facts.items())})"


def _stated(folder: Path) -> tuple[str, ...]:
    return tuple((query.manifest(folder)["study"] or {}).get("notes", ()))


def _left_out(folder: Path, tables: Mapping[str, Any]) -> dict[str, str]:
    """Detectors of the study that this model has no results of."""
    asked = [one["name"] for one in (query.manifest(folder)["study"] or {}).get("detectors", ())]
    done = {title.partition(" ")[0] for title in tables}
    why = "no results in this study: not done yet, or it does not apply to this model"
    return {name: why for name in asked if name not in done}


@dataclass(frozen=True)
class _Inputs:
    """What is still there of the inputs that were scored: data sets by name, what the model said, and what is not."""

    sets: Mapping[str, Dataset]
    logits: Mapping[str, np.ndarray[Any, Any]]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, folder: Path, rows: pl.DataFrame, cache: Cache) -> _Inputs:
        """Load the test set and the OOD sets of a study, as far as they are what was measured."""
        try:
            spec = Spec.parse(query.manifest(folder)["study"], "study.json")
        except UserError as error:
            return cls({}, {}, (f"The hardest inputs cannot be shown, only told: {error}",))
        sets, notes = _loaded(spec)
        measured = _measured_data(folder, rows)
        changed = [name for name, data in sets.items() if name in measured and data.digest() != measured[name]]
        why = "its data are not what was measured (another digest)"
        if TEST in changed:
            return cls({}, {}, (f"The hardest inputs cannot be shown, only told: of the ID test set, {why}.",))
        notes += tuple(f"The hardest inputs of {name!r} cannot be shown, only told: {why}." for name in changed)
        shown = {name: data for name, data in sets.items() if name not in changed}
        unknown = [name for name in shown if name not in measured]
        notes += (unchecked(unknown),) if unknown else ()
        return replace(cls(shown, {}, notes), logits=_logits(shown, rows["model_digest"][0], cache, half=spec.half))

    def judged(self, table: pl.DataFrame, names: list[str]) -> Iterator[Judged]:
        """The named sets with a detector's scores and what is there of their inputs."""
        for name in names:
            own = table.filter(pl.col("set") == name)
            numbers = own["row"].to_numpy()
            data = self.sets.get(name)
            fits = data is not None and numbers.max() < len(data)
            yield Judged(
                name,
                name != TEST,
                own["score"].to_numpy().astype(np.float64),
                numbers,
                subset(data, numbers) if data is not None and fits else None,
                self.logits[name][numbers] if fits and name in self.logits else None,
            )


def _measured_data(folder: Path, rows: pl.DataFrame) -> dict[str, str]:
    """Sets to the digests of what was measured, as far as the study kept them."""
    of_test = rows.filter(pl.col("detector").is_null())["data_digest"].drop_nulls()
    return digests(folder, str(of_test[0]) if len(of_test) else None)


def _loaded(spec: Spec) -> tuple[dict[str, Dataset], tuple[str, ...]]:
    sets, notes = {}, []
    for one in wanted(spec):
        if one.role in ("test", "ood"):
            try:
                sets[one.name] = like_trained(spec, one.role, one.source.load())
            except UserError as error:
                notes.append(f"The hardest inputs of {one.name!r} cannot be shown, only told: {error}")
    return sets, tuple(notes)


def _logits(
    sets: Mapping[str, Dataset], digest: str | None, cache: Cache, *, half: bool
) -> dict[str, np.ndarray[Any, Any]]:
    """What the model said to each input of the sets that the cache still holds."""
    if digest is None:
        return {}
    found = {name: cached(digest, data, cache, half=half) for name, data in sets.items()}
    return {name: np.asarray(values.arrays["logits"]) for name, values in found.items() if values is not None}
