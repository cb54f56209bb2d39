"""Detectors that were measured with several settings: each setting has a name of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

KEYS = ("model", "run", "step")
"""Columns that tell what is measured; a detector has several settings where one of these was measured with several."""


def told_apart(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows in which every setting of a detector that was measured with several has its own name.

    Named are the parameters that differ; a detector that tuning set to one value a model stays one detector.

    Examples
    --------
    >>> rows = pl.DataFrame({"model": ["a"] * 3, "detector": ["knn", "knn", "msp"], "role": ["test"] * 3,
    ...                      "params": ['{"k":1,"p":2}', '{"k":20,"p":2}', "{}"]})
    >>> told_apart(rows)["detector"].to_list()
    ['knn k=1', 'knn k=20', 'msp']
    """
    known = titles(rows)
    if not known:
        return rows
    table = pl.DataFrame(
        [(*key, title) for key, title in known.items()], ["detector", "params", "_title"], orient="row"
    )
    named = rows.join(table, on=["detector", "params"], how="left", maintain_order="left")
    return named.with_columns(detector=pl.coalesce("_title", "detector")).drop("_title")


def titles(rows: pl.DataFrame) -> dict[tuple[str, str], str]:
    """Detector and parameters to the name of that setting, for detectors with several.

    Parameters
    ----------
    rows : frame
        With the columns detector, params and role, and those of ``KEYS`` that there are.

    Examples
    --------
    >>> rows = pl.DataFrame({"model": ["a"] * 2, "detector": ["knn"] * 2, "role": ["test"] * 2,
    ...                      "params": ['{"k":1}', '{"k":20}']})
    >>> titles(rows)
    {('knn', '{"k":1}'): 'knn k=1', ('knn', '{"k":20}'): 'knn k=20'}
    """
    asked = [*(name for name in KEYS if name in rows.columns), "detector", "params", "role"]
    found = rows.select(asked).unique(maintain_order=True).drop_nulls(["detector", "params"])
    groups = [name for name in asked if name not in ("params", "role")]
    tested = found.filter(pl.col("role") == "test").group_by(groups, maintain_order=True).agg("params")
    several = tested.filter(pl.col("params").list.n_unique() > 1)
    return {
        (detector, text): f"{detector} {_said(text, differing)}"
        for (detector,), settings in several.group_by("detector", maintain_order=True)
        for differing in [_differing(settings["params"].to_list())]
        for text in found.filter(pl.col("detector") == detector)["params"].unique(maintain_order=True)
    }


def _differing(groups: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The parameters that differ within a group, in alphabetical order; none where a setting is no mapping."""
    names: set[str] = set()
    for group in groups:
        settings = [_loaded(text) for text in group]
        if not all(isinstance(one, dict) for one in settings):
            return ()
        every = {name for one in settings for name in one}
        names |= {name for name in every if any(one.get(name) != settings[0].get(name) for one in settings)}
    return tuple(sorted(names))


def _said(text: str, differing: Sequence[str]) -> str:
    settings = _loaded(text)
    return ", ".join(_pairs(settings, differing)) if differing and isinstance(settings, dict) else text


def _pairs(settings: dict[str, Any], names: Sequence[str]) -> Iterator[str]:
    for name in names:
        value = settings.get(name)
        value = value["name"] if isinstance(value, dict) and [*value] == ["name"] else value
        yield f"{name}={value if isinstance(value, str) else json.dumps(value)}"


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
