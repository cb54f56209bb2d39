"""The contracts of plug-ins, for the tests of any package: each check says what was expected and what came.

No check needs pytest. ``plugins_of`` gives those of all plug-ins that an installed package declares.
"""

from outfield.testing.analyses import check_analysis
from outfield.testing.detectors import check_detector
from outfield.testing.discovery import Contract, plugins_of
from outfield.testing.estimators import check_estimator
from outfield.testing.metrics import check_metric
from outfield.testing.networks import check_network
from outfield.testing.shifts import check_shift
from outfield.testing.sources import check_source
from outfield.testing.strategies import check_strategy
from outfield.testing.synthetic import check_synthetic
from outfield.testing.tasks import check_task

__all__ = [
    "Contract",
    "check_analysis",
    "check_detector",
    "check_estimator",
    "check_metric",
    "check_network",
    "check_shift",
    "check_source",
    "check_strategy",
    "check_synthetic",
    "check_task",
    "plugins_of",
]
