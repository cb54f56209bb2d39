"""The card in a Hugging Face model card: a section of Markdown between marks, results in the YAML head."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any

import polars as pl

from outfield import registry
from outfield.card.facts import Facts
from outfield.card.markdown import escaped, pictures, section, sheet
from outfield.card.readme import Readme
from outfield.errors import UserError
from outfield.models.libraries import library
from outfield.places import place
from outfield.store.performance import measures
from outfield.store.write import atomically, write_text

TOOL = "outfield"
HUB_NAMES = {"auroc": "roc_auc", "brier": "brier_score"}
"""Metrics that the hub knows under another name."""
OF_DETECTOR = ("auroc", "fpr_at_95_id")


def read(path: Path | str) -> Readme:
    """A README.md, or an empty one where there is none; it can be written into.

    Raises
    ------
    MissingExtra
        huggingface_hub is not installed.
    UserError
        The file cannot be read, or its YAML head or its marks are broken.
    """
    library("huggingface_hub", extra="text")
    found = Readme.read(place(path))
    _checked(found.metadata, path)
    return found


def write(card: Facts, path: Path | str) -> Path:
    """Put a card into a README.md: a section between marks, and results in ``model-index`` of the YAML head.

    What else stands in the file stays as it is, comments and line ends too. Written again, section and results are
    replaced. Pictures of the hardest inputs go into a folder ``outfield`` beside it.

    Raises
    ------
    MissingExtra
        huggingface_hub is not installed.
    UserError
        The file is no README that can be taken in; nothing is written then.

    Examples
    --------
    >>> write(card, "README.md")  # doctest: +SKIP
    """
    path = place(path)
    readme = read(path)
    index = merged(readme.metadata.get("model-index"), card)
    _checked(readme.metadata | {"model-index": index}, path)
    text = readme.with_section(section(card), escaped(card.name)).with_index(index).text
    for picture, group in pictures(card):
        if picture:
            with atomically(path.parent / picture) as temporary:
                sheet(group).save(temporary, format="PNG")
    return write_text(text, path)


def _checked(metadata: Mapping[str, Any], path: Path | str) -> None:
    """``UserError`` where huggingface_hub refuses the metadata."""
    hub = library("huggingface_hub", extra="text")
    try:
        hub.ModelCardData(**metadata).to_dict()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(
            f"Expected metadata of a model card at the head of {path}, but huggingface_hub refuses it: {error}. "
            "Mend the YAML between the two lines of ---."
        ) from None


def merged(index: Sequence[Mapping[str, Any]] | None, card: Facts) -> list[dict[str, Any]]:
    """A ``model-index`` with a card's results: those of an earlier card are replaced, all others stay.

    Parameters
    ----------
    index : list of mappings, optional
        What is there already. The results go to the entry of the model's name, else to the first.
    """
    kept = [dict(entry) | {"results": list(_of_others(entry["results"]))} for entry in index or ()]
    if not kept:
        kept = [{"name": card.name, "results": []}]
    own = next((entry for entry in kept if entry["name"] == card.name), kept[0])
    own["results"] += results(card)
    return kept


def _of_others(found: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for result in found:
        metrics = [one for one in result["metrics"] if not _is_own(one)]
        if metrics or not result["metrics"]:
            yield dict(result) | {"metrics": metrics}


def _is_own(metric: Mapping[str, Any]) -> bool:
    args = metric.get("args")
    return isinstance(args, Mapping) and args.get("tool") == TOOL


def results(card: Facts) -> list[dict[str, Any]]:
    """A card's results in the form of ``model-index``: ID data, each shift, each OOD set."""
    task = {"type": f"{card.inputs}-classification" if card.inputs else "classification"}
    found = [_result(task, card.id_name, {"split": "test"}, list(_of_model(card)))]
    for (shift,), rows in card.results.metric(card.results.performance, "shift").group_by("shift", maintain_order=True):
        mean = {"metric": card.results.performance, "value": rows["value"].mean(), "n_id": rows["n_id"].max()}
        name, severities = f"{card.id_name} under {shift}", rows["severity"].drop_nulls().to_list()
        args = {"shift": shift} | ({"mean_over_severities": severities} if severities else {})
        found.append(_result(task, name, {"args": args}, [_metric(mean)]))
    outside = task | {"name": "Out-of-distribution detection"}
    for name, category in card.ood_sets.items():
        rows = _outside(card).filter(pl.col("ood") == name)
        args = {"in_distribution": card.id_name, "category": category}
        found.append(_result(outside, name, {"args": args}, [_metric(row) for row in rows.iter_rows(named=True)]))
    return _told_apart(found)


def _result(task: Mapping[str, Any], name: str, more: Mapping[str, Any], metrics: list[Any]) -> dict[str, Any]:
    dataset = {"type": re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-") or "data", "name": name}
    return {"task": dict(task), "dataset": dataset | dict(more), "metrics": metrics}


def _told_apart(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results with a ``type`` of its own for each dataset: huggingface_hub merges those that share one."""
    taken: set[str] = set()
    for dataset in (result["dataset"] for result in found):
        kind = dataset["type"]
        numbered = (f"{kind}-{number}" for number in count(2))
        dataset["type"] = next(name for name in chain([kind], numbered) if name not in taken)
        taken.add(dataset["type"])
    return found


def _of_model(card: Facts) -> Iterator[dict[str, Any]]:
    rows = card.results.test.filter(pl.col("set_kind") == "id", pl.col("detector").is_null())
    yield from (_metric(row) for row in rows.filter(pl.col("metric").is_in(measures(card.rows))).iter_rows(named=True))


def _outside(card: Facts) -> pl.DataFrame:
    """What the recommended detector does on each OOD set."""
    own = pl.col("detector") == card.recommended, pl.col("metric").is_in(OF_DETECTOR), pl.col("set_kind") == "ood"
    return card.results.test.filter(*own).sort("ood", "metric")


def _metric(row: Mapping[str, Any]) -> dict[str, Any]:
    detector, name = row.get("detector"), row["metric"]
    label = registry.find("metrics", name).label + (f" of {detector}" if detector else "")
    ends = {end: round(row[end], 6) for end in ("low", "high") if row.get(end) is not None}
    sizes = {size: row[size] for size in ("n_id", "n_ood") if row.get(size) is not None}
    args = {"tool": TOOL} | ({"detector": detector} if detector else {}) | ends | sizes
    return {"type": HUB_NAMES.get(name, name), "value": round(row["value"], 6), "name": label, "args": args}
