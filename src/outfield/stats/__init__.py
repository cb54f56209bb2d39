"""Statistics that a good reviewer would accept: the highest replicated unit is the unit, intervals come first.

Pure functions on arrays and frames; every one returns a small frozen result with ``.frame()`` and ``.plot()`` that says
at which level it infers, over how many independent units, and how it was corrected. Nothing here imports torch.
"""

from outfield.stats.agreement import agreement, heterogeneity
from outfield.stats.anova import Anova, anova
from outfield.stats.attenuation import cell_reliability, disattenuated_correlation
from outfield.stats.aurocs import compare_aurocs, delong, id_halves, shared_id_covariance, unshared_correlation
from outfield.stats.base import Result
from outfield.stats.clusters import (
    between_within,
    correlation_by_cluster,
    correlations_by_cluster,
    independent_units,
    intraclass,
    line_by_cluster,
    slope_by_cluster,
)
from outfield.stats.components import stratum, variance_components
from outfield.stats.contamination import audited, cleaned, contaminated
from outfield.stats.difference_of_correlations import difference_of_correlations
from outfield.stats.differences import Difference, independent_difference, mean_difference, paired_difference
from outfield.stats.influence import influence
from outfield.stats.measurement_error import errors_in_variables, item_error, reliability
from outfield.stats.multiplicity import benjamini_hochberg, holm
from outfield.stats.noise_floor import noise_floor
from outfield.stats.outliers import out_of_line
from outfield.stats.partial import partial_correlation, partial_matrix
from outfield.stats.power import detectable, power
from outfield.stats.published import kendalls_w, published_correlation, published_mean, published_shares
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
from outfield.stats.repeated_measures import repeated_measures
from outfield.stats.runs import conditional_p, mean_over_runs, run_permutation_test, sign_test, within_runs
from outfield.stats.selective import risk_coverage
from outfield.stats.series import block_bootstrap, circular_shift_test, effective_checkpoints
from outfield.stats.shape import interrupted, lind_mehlum, lowess, two_lines
from outfield.stats.ties import Ties, ties
from outfield.stats.units import Panel, panel, unit_means
from outfield.stats.windows import windows
from outfield.stats.winner import winner

__all__ = [
    "Anova",
    "Difference",
    "Panel",
    "Recommendation",
    "Result",
    "Ties",
    "accuracy_on_the_line",
    "agreement",
    "anova",
    "audited",
    "benjamini_hochberg",
    "between_within",
    "block_bootstrap",
    "bradley_terry",
    "cell_reliability",
    "circular_shift_test",
    "cleaned",
    "compare_aurocs",
    "conditional_p",
    "conover",
    "contaminated",
    "correlation_by_cluster",
    "correlations_by_cluster",
    "critical_difference",
    "delong",
    "detectable",
    "difference_of_correlations",
    "disattenuated_correlation",
    "effective_checkpoints",
    "errors_in_variables",
    "friedman",
    "heterogeneity",
    "holm",
    "id_halves",
    "independent_difference",
    "independent_units",
    "influence",
    "interrupted",
    "intraclass",
    "item_error",
    "kendall",
    "kendalls_w",
    "leave_one_family_out",
    "lind_mehlum",
    "line_by_cluster",
    "lowess",
    "mean_difference",
    "mean_over_runs",
    "mean_ranks",
    "nemenyi",
    "noise_floor",
    "out_of_line",
    "paired_difference",
    "panel",
    "partial_correlation",
    "partial_matrix",
    "pearson",
    "plackett_luce",
    "power",
    "published_correlation",
    "published_mean",
    "published_shares",
    "ranks",
    "recommend",
    "reliability",
    "repeated_measures",
    "risk_coverage",
    "run_permutation_test",
    "shared_id_covariance",
    "sign_test",
    "slope_by_cluster",
    "spearman",
    "stratum",
    "ties",
    "two_lines",
    "unit_means",
    "unshared_correlation",
    "variance_components",
    "windows",
    "winner",
    "within_runs",
]
