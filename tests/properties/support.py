"""Attacks: whatever comes in, the answer is right or a ``UserError``. ``make fuzz`` tries ten thousand of each."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("OUTFIELD_FUZZ", "200"))

attacked = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES <= 200,
    database=None,
    suppress_health_check=list(HealthCheck),
)
"""Put on a property test: as many cases as asked for, the same ones in every run of the suite."""
