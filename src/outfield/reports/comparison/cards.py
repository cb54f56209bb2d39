"""Cards as JSON files: what of them is written for a later comparison, and how it is read again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from outfield.errors import UserError, reading
from outfield.store import schema

ANSWERS = {"row": pl.Int64, "label": pl.String, "said": pl.String, "right": pl.Boolean}
"""Columns of what a classifier said to each ID test input: its row, its class, the answer, whether that is right."""
VERSION = 2
"""Of the card's JSON. The first had no version, and did not say which inputs it was of."""


@dataclass(frozen=True, eq=False)
class StoredCard:
    """A card as its JSON holds it: values with their intervals, what the sets hold, right and wrong of each ID input.

    The scores of single inputs and the inputs themselves are not in it.
    """

    rows: pl.DataFrame
    contents: Mapping[str, str]
    answers: pl.DataFrame
    scores: Mapping[str, pl.DataFrame]

    def shown(self, rows: Sequence[int]) -> Mapping[int, tuple[str, str]]:
        """Nothing: the file holds no inputs."""
        return {}


def packed(answers: pl.DataFrame) -> dict[str, Any]:
    """What a model said to each input, as JSON: class names once, and their numbers.

    Examples
    --------
    >>> table = pl.DataFrame({"row": [0, 3], "label": ["cat", "dog"], "said": ["cat"] * 2, "right": [True, False]})
    >>> packed(table)
    {'classes': ['cat', 'dog'], 'row': [0, 3], 'label': [0, 1], 'said': [0, 0]}
    >>> unpacked(packed(table)).equals(table)
    True
    """
    names = sorted({*answers["label"], *answers["said"]})
    numbers = {name: number for number, name in enumerate(names)}
    columns = {column: [numbers[name] for name in answers[column]] for column in ("label", "said")}
    return {"classes": names, "row": answers["row"].to_list(), **columns}


def unpacked(content: Mapping[str, Any]) -> pl.DataFrame:
    """The answers that ``packed`` wrote."""
    named = {column: [content["classes"][number] for number in content[column]] for column in ("label", "said")}
    right = [label == said for label, said in zip(named["label"], named["said"], strict=True)]
    return pl.DataFrame({"row": content["row"], **named, "right": right}, schema=ANSWERS)


def is_card(content: Any) -> bool:
    """Whether parsed JSON is a card of any version."""
    return isinstance(content, dict) and {"recommended", "detectors", "blind_spots"} <= set(content)


def stored_card(path: Path) -> StoredCard | None:
    """A card from its JSON; None of JSON that is no card.

    Raises
    ------
    UserError
        It is of a version that cannot be compared, or damaged.
    """
    with reading(path, "JSON", "Write it again."):
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    if not is_card(content):
        return None
    with reading(path, "a card as JSON", "Make it again: outfield evaluate ... --json card.json"):
        return of_json(content, str(path))


def of_json(content: Any, what: str) -> StoredCard:
    """A card from parsed JSON; ``what`` names it in errors."""
    if not is_card(content):
        raise UserError(f"Expected a card at {what}, but it is none. Make one: outfield evaluate ... --json card.json")
    if content.get("card") != VERSION:
        got = f"version {content['card']}" if "card" in content else f"one of outfield {content.get('outfield')}"
        raise UserError(
            f"Expected a card of version {VERSION} at {what}, but got {got}, which does not say which inputs it is of. "
            "Make it again with this version: outfield evaluate ... --json card.json"
        )
    rows = schema.frame(_rows(content)).with_columns(outfield=pl.lit(content["outfield"]))
    return StoredCard(rows, content["contents"], unpacked(content["answers"]), {})


def _rows(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    counts = content["inputs"]
    common = {"study": "card", "model": content["name"], "role": "test", "n_id": counts.get("test")}
    for metric, found in content["id"].items():
        yield common | {"set_kind": "id", "metric": metric} | found
    for one in content["shifts"]:
        yield common | {"set_kind": "shift", "ood": f"{one['shift']} {one['severity']}"} | one
    for one in content["detectors"]:
        for ood, metrics in one["sets"].items():
            cell = {"set_kind": "ood", "detector": one["detector"], "ood": ood, "n_ood": counts.get(ood)}
            for metric, found in metrics.items():
                yield common | cell | {"metric": metric} | found
