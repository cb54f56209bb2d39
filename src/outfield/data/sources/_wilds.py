"""The layouts of WILDS-format folders: what their columns are called, and where their items lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import polars as pl

SPLITS = ("train", "id_val", "id_test", "val", "test")
"""Those of WILDS: of the training domains the first three, of other domains the last two."""
EVERY = "all"
"""Rows of all splits together, for a task that cuts them by domain itself."""


@dataclass(frozen=True)
class Layout:
    """What a folder holds.

    Parameters
    ----------
    metadata : str
        Its table.
    columns : frozenset of str
        Columns that tell it from others.
    label : str
    split : expression
        The name of the split of each row.
    item : expression
        The path of its picture below the folder, or its text.
    group : tuple of str
        Columns whose values make a group.
    text : bool
    yes_from : float, optional
        Labels and groups are shares of raters: from this share on they are 1.
    """

    metadata: str
    columns: frozenset[str]
    label: str
    split: Callable[[], pl.Expr]
    item: Callable[[], pl.Expr]
    group: tuple[str, ...]
    text: bool = False
    yes_from: float | None = None
    identities: tuple[str, ...] = field(default=())


def _numbered(names: Mapping[str, str]) -> pl.Expr:
    return pl.col("split").replace(names)


def _camelyon_split() -> pl.Expr:
    """Hospital 1 is the OOD validation set, hospital 2 the OOD test set; the column says it of the others."""
    by_hospital = pl.when(pl.col("center") == "1").then(pl.lit("val")).when(pl.col("center") == "2")
    return by_hospital.then(pl.lit("test")).otherwise(_numbered({"0": "train", "1": "id_val"}))


def _camelyon_patch() -> pl.Expr:
    return pl.format(
        "patches/patient_{}_node_{}/patch_patient_{}_node_{}_x_{}_y_{}.png",
        *("patient", "node", "patient", "node", "x_coord", "y_coord"),
    )


_IDENTITIES = ("male", "female", "LGBTQ", "christian", "muslim", "other_religions", "black", "white")

LAYOUTS = {
    "camelyon17": Layout(
        "metadata.csv",
        frozenset({"patient", "node", "x_coord", "y_coord", "tumor", "center", "split"}),
        "tumor",
        _camelyon_split,
        _camelyon_patch,
        ("center",),
    ),
    "waterbirds": Layout(
        "metadata.csv",
        frozenset({"img_filename", "y", "split", "place"}),
        "y",
        lambda: _numbered({"0": "train", "1": "val", "2": "test"}),
        lambda: pl.col("img_filename"),
        ("place", "y"),
    ),
    "civilcomments": Layout(
        "all_data_with_identities.csv",
        frozenset({"comment_text", "toxicity", "split", *_IDENTITIES}),
        "toxicity",
        lambda: pl.col("split"),
        lambda: pl.col("comment_text"),
        ("black", "toxicity"),
        text=True,
        yes_from=0.5,
        identities=_IDENTITIES,
    ),
}
"""Data sets of WILDS, and one in its format, whose published folders are known."""
