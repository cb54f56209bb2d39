"""A finding: what the software says without being asked, with a code, a severity and a page."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import polars as pl

from outfield.errors import UserError

Severity: TypeAlias = Literal["error", "warning", "info"]
ORDER: tuple[Severity, ...] = ("error", "warning", "info")

TITLES: dict[str, str] = {
    "OF001": "Pooled significance is not borne out at the level of the unit",
    "OF002": "One family carries or hides a trend",
    "OF003": "One checkpoint per strategy",
    "OF004": "Near-duplicate models",
    "OF005": "Tuned on OOD data that shares a source with the test",
    "OF006": "An OOD set of few items",
    "OF007": "AUROC below .5",
    "OF008": "The sign of a partial correlation depends on the smoother",
    "OF009": "An interaction that appears on one scale only",
    "OF010": "ECE predicts better than the ID measure",
    "OF011": "Saturated benchmark",
    "OF012": "The relation is not monotonic",
    "OF013": "Cells are missing",
    "OF014": "A scale was guessed, or values were clipped",
    "OF015": "Duplicate rows",
    "OF016": "Accuracy at chance",
    "OF017": "One class for all",
    "OF018": "Accuracy below chance",
    "OF019": "No detector tells ID from OOD",
    "OF020": "Whether higher is better is not known",
    "OF021": "One strategy in several families",
    "OF022": "Rows of one family were taken as independent",
    "OF023": "Within families it is the other way round",
    "OF025": "An error of zero that nobody measured",
    "OF026": "A row out of line with all others",
    "OF027": "An ID accuracy unlike its kin's",
    "OF028": "The best of many, not corrected for being chosen",
    "OF029": "A correlation that hangs on one row",
    "OF030": "A measure that is the same for all models",
    "OF031": "Means over different detectors",
    "OF032": "The window decides the sign",
    "OF033": "Differences below the noise floor",
    "OF034": "Sampling noise of the cells limits what a table can tell",
    "OF035": "Cells are missing not at random",
    "OF036": "Uncertainty misses far inputs",
}
"""Code to its title; ``docs/findings/CODE.md`` is its page."""


@dataclass(frozen=True)
class Finding:
    """One finding.

    Parameters
    ----------
    code : str
        ``OF`` and a number for those of outfield; other packages take letters of their own.
    severity : ``error``, ``warning`` or ``info``
    sentence : str
        What was found, with its figures.
    heading, about : str
        What the code stands for, and a text in Markdown on what it means and what to do. Those of outfield's codes are
        known; another package gives them.

    Raises
    ------
    UserError
        Another severity; a code that is not known, without a heading.

    Examples
    --------
    >>> print(Finding("OF011", "info", "imagenet-v2: 97% of models lie above .99."))
    OF011 info: imagenet-v2: 97% of models lie above .99.
    """

    code: str
    severity: Severity
    sentence: str
    heading: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        if self.severity not in ORDER:
            raise UserError(
                f"Expected a severity of {', '.join(ORDER)} for the finding {self.code}, but got {self.severity!r}."
            )
        if self.code not in TITLES and not self.heading:
            raise UserError(
                f"Expected a heading for the finding {self.code}, whose code is not one of outfield's, but got none. "
                "Give heading= and about=."
            )

    def __str__(self) -> str:
        return f"{self.code} {self.severity}: {self.sentence}"

    @property
    def title(self) -> str:
        """What the code stands for."""
        return TITLES.get(self.code, self.heading)

    @property
    def page(self) -> str:
        """The page of the documentation about this code, where it is one of outfield's."""
        return f"findings/{self.code}.md"


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The gravest first, then by code."""
    return tuple(sorted(findings, key=lambda each: (ORDER.index(each.severity), each.code)))


def frame(findings: Iterable[Finding]) -> pl.DataFrame:
    """Findings as a table."""
    rows = [(each.code, each.severity, each.title, each.sentence) for each in findings]
    return pl.DataFrame(rows, schema=["code", "severity", "title", "sentence"], orient="row")
