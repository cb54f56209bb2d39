"""A display: data with a title and a caption, as a frame, as charts, and as HTML.

One file a subject; each public function there takes ``Results`` and returns a ``Display``. A function that cannot
be served raises ``UserError``: the page then shows what is missing, in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias

import altair as alt
import polars as pl

from outfield.reports.displays._style import styled

Legend: TypeAlias = Literal["", "family", "information", "category"]


@dataclass(frozen=True, eq=False)
class Figure:
    """One chart of a display, with its own small title; narrower screens scroll it below ``min_width`` pixels.

    Examples
    --------
    >>> Figure(alt.Chart().mark_point(), "Gaps").spec()["mark"]
    {'type': 'point'}
    """

    drawn: alt.TopLevelMixin | Callable[[], alt.TopLevelMixin]
    title: str = ""
    min_width: int = 280

    @cached_property
    def chart(self) -> alt.TopLevelMixin:
        """The chart; one that a function draws is drawn when it is first looked at, which a terminal never does."""
        return self.drawn() if callable(self.drawn) else self.drawn

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite specification, without colours of page and text: the page adds them, light or dark.

        It is not validated here, for that takes longer than drawing; ``plot`` validates it.
        """
        spec: dict[str, Any] = self.chart.to_dict(validate=False)
        spec.pop("config", None)
        return spec


@dataclass(frozen=True, eq=False)
class Display:
    """What is shown of one question.

    Parameters
    ----------
    code : str
        Short name, unique on a page: anchor and file name of its data.
    title : str
        The finding or the question, in words.
    caption : str
        What is drawn: measure, unit, n, what the interval is.
    table : frame
        The numbers behind every mark.
    figures : tuple of Figure
        Empty where the table itself is what is shown.
    columns : mapping of column name to its heading
        The columns of the HTML table, in order; default: all.
    open : bool
        Whether the table is shown at once.
    legend : ``"family"``, ``"information"``, ``"category"`` or empty
        What the colours of its charts mean.
    missing : str
        Why there is nothing to show.
    lead : str
        The first sentence of the caption where a page puts it above the picture: the answer to a question.

    Examples
    --------
    >>> shown = Display("gaps", "MixUp has the largest gap", "One dot a strategy.", pl.DataFrame({"mean_gap": [0.1]}))
    >>> shown.frame().height, shown.headings(), Display.absent("gaps", "Gaps", "No shifts.").missing
    (1, {'mean_gap': 'mean gap'}, 'No shifts.')
    """

    code: str
    title: str
    caption: str
    table: pl.DataFrame
    figures: tuple[Figure, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    open: bool = False
    legend: Legend = ""
    missing: str = ""
    lead: str = ""

    @property
    def rest(self) -> str:
        """The caption without its lead."""
        return self.caption.removeprefix(self.lead).strip()

    def frame(self) -> pl.DataFrame:
        """The numbers."""
        return self.table

    def plot(self) -> alt.TopLevelMixin:
        """The charts, for a notebook."""
        charts: list[Any] = [figure.chart for figure in self.figures]
        return styled(charts[0] if len(charts) == 1 else alt.vconcat(*charts))

    def headings(self) -> dict[str, str]:
        """Columns of the HTML table with their headings."""
        return dict(self.columns) or {name: name.replace("_", " ") for name in self.table.columns}

    @staticmethod
    def absent(code: str, title: str, reason: str) -> Display:
        """A display that cannot be served, and why."""
        return Display(code, title, "", pl.DataFrame(), missing=reason)
