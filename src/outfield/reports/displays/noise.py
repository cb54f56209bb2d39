"""Displays of what sampling noise of a table's cells does."""

from __future__ import annotations

from outfield.reports.analysis import Analysis
from outfield.reports.cell_noise import less_noise_frame, reliability_frame
from outfield.reports.displays.base import Display

SAME_ITEMS = (
    "Where all models are scored on the same items, part of the noise is common to them: it is then at most as large "
    "as shown, and the truth lies between the two."
)


def reliability(analysis: Analysis) -> Display:
    """The share of every measure's spread that is not noise."""
    caption = (
        "Reliability: the share of a measure's variance over models that is not noise of its cells, with a 95% "
        f"jackknife interval over models. {SAME_ITEMS}"
    )
    return Display("reliability", "How much of the spread is noise?", caption, reliability_frame(analysis.measures))


def without_noise(analysis: Analysis) -> Display:
    """Linear correlations, plain and given the ID measure, less the noise."""
    caption = (
        "Pearson correlations, of pairs of OOD measures given the ID measure, as they are seen and less the noise of "
        "the cells (errors in variables), with a 95% bootstrap interval over models. No interval: in most resamples "
        f"the noise is as large as the spread. {SAME_ITEMS}"
    )
    return Display("less noise", "Correlations less the noise", caption, less_noise_frame(analysis.less_noise))
