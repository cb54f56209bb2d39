"""What an analysis is: a question, and a function of a study's rows to a table, sentences, a picture and findings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import altair as alt
import polars as pl

from outfield.reports.displays.base import Legend
from outfield.reports.findings.base import Finding

if TYPE_CHECKING:
    from outfield.reports.results import Results

__all__ = ["Analysis", "Finding", "Result"]


@dataclass(frozen=True, eq=False)
class Result:
    """What an analysis found.

    Parameters
    ----------
    table : frame
        The numbers, also those behind every mark of the picture.
    said : sequence of str
        Sentences for a reader who does not know the code: first the answer to the question, then what is drawn.
    chart : altair chart, optional
        The picture, without a title.
    noted : sequence of Finding, optional
        What a reader should know without having asked. Codes that begin with OF are those of outfield; another package
        takes letters of its own, and gives the heading and the text of the code with the finding.

    Examples
    --------
    >>> found = Result(pl.DataFrame({"strategy": ["MixUp"], "gap": [0.1]}), ["MixUp has the largest gap."])
    >>> found.frame().height, found.sentences(), found.plot(), found.findings()
    (1, ('MixUp has the largest gap.',), None, ())
    """

    table: pl.DataFrame
    said: Sequence[str]
    chart: alt.TopLevelMixin | None = None
    noted: Sequence[Finding] = ()

    def frame(self) -> pl.DataFrame:
        """The numbers."""
        return self.table

    def plot(self) -> alt.TopLevelMixin | None:
        """The picture, where there is one."""
        return self.chart

    def sentences(self) -> tuple[str, ...]:
        """Prose: first the answer."""
        return tuple(filter(None, self.said))

    def findings(self) -> tuple[Finding, ...]:
        """What is said among the findings of the page."""
        return tuple(self.noted)


@dataclass(frozen=True)
class Analysis(ABC):
    """A question that is put to the rows of a study. Its fields are its parameters; each has a default.

    An analysis that the rows cannot answer raises ``UserError`` in ``of``; the page then shows the message in its
    place.

    Examples
    --------
    >>> class Best(Analysis):
    ...     title, question, needs = "The best model", "Which model is best?", frozenset({"performance"})
    ...     def of(self, results):
    ...         best = results.models.filter(pl.col(results.performance) == pl.col(results.performance).max())
    ...         return Result(best, [f"Best: {', '.join(best['model'])}."])
    >>> from outfield.reports.results import Results
    >>> rows = pl.DataFrame({"model": ["a", "b"], "metric": ["accuracy"] * 2, "value": [0.7, 0.9],
    ...                      "role": ["test"] * 2, "set_kind": ["id"] * 2})
    >>> Best().of(Results.of(rows)).sentences()
    ('Best: b.',)
    """

    title: ClassVar[str]
    """What stands above it; a title with ``{performance}`` names the measure of the task there."""
    question: ClassVar[str]
    """What a reader asks, in one line."""
    needs: ClassVar[frozenset[str]]
    """What the rows must hold: columns of the store with a value, names of metrics, or ``performance``."""
    legend: ClassVar[Legend] = ""
    """What the colours of its picture mean: ``family``, ``information``, ``category``, or nothing."""

    @abstractmethod
    def of(self, results: Results) -> Result:
        """The answer from these rows."""
