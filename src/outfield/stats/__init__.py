"""Statistics that a good reviewer would accept: the highest replicated unit is the unit, intervals come first.

Pure functions on arrays and frames; every one returns a small frozen result with ``.frame()`` and ``.plot()`` that says
at which level it infers, over how many independent units, and how it was corrected. Nothing here imports torch.
"""

from outfield.stats.anova import Anova, anova
from outfield.stats.base import Result
from outfield.stats.multiplicity import benjamini_hochberg, holm
from outfield.stats.ranks import (
    bradley_terry,
    conover,
    critical_difference,
    friedman,
    mean_ranks,
    nemenyi,
    plackett_luce,
    ranks,
)
from outfield.stats.recommend import Recommendation, recommend
from outfield.stats.relate import accuracy_on_the_line, kendall, leave_one_family_out, pearson, spearman
from outfield.stats.units import Panel, panel, unit_means

__all__ = [
    "Anova",
    "Panel",
    "Recommendation",
    "Result",
    "accuracy_on_the_line",
    "anova",
    "benjamini_hochberg",
    "bradley_terry",
    "conover",
    "critical_difference",
    "friedman",
    "holm",
    "kendall",
    "leave_one_family_out",
    "mean_ranks",
    "nemenyi",
    "panel",
    "pearson",
    "plackett_luce",
    "ranks",
    "recommend",
    "spearman",
    "unit_means",
]
