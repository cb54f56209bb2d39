"""OF034: what sampling noise of the cells does to the spread of measures and to partial correlations."""

from __future__ import annotations

from collections.abc import Iterator

from outfield.reports.analysis import Analysis
from outfield.reports.cell_noise import reliabilities
from outfield.reports.findings.base import Finding
from outfield.stats.attenuation import Disattenuated
from outfield.types import Estimate

MUCH = 1 / 3
"""Share of the variance from which noise is told."""
MOST = 3
UNKNOWN = 1.5
"""Width of an interval of a correlation that tells nothing."""


def noisy_cells(analysis: Analysis) -> Iterator[Finding]:
    """OF034: a third of a measure's variance or more is noise; a partial correlation that the noise can have made."""
    for name, found in reliabilities(analysis.measures).items():
        if 1 - found.reliability.value >= MUCH:
            yield Finding(
                "OF034", "warning",
                f"{name}: up to {min(1 - found.reliability.value, 1):.0%} of its variance over {found.n_units} models "
                f"is sampling noise (standard error {found.noise:.4f}, sd over models {found.spread:.4f}; reliability "
                f"{_interval(found.reliability)}). Models differ by less than the table shows.",
            )  # fmt: skip
    faked = {names: each for names, each in analysis.less_noise.items() if len(names) > 2 and _may_be_noise(each)}
    for (a, b, given), each in list(faked.items())[:MOST]:
        yield Finding("OF034", "warning", f"{a} and {b} given {given}: {_interval(each.raw)} as seen, {_left(each)}.")
    if len(faked) > MOST:
        yield Finding("OF034", "warning", f"So for {len(faked) - MOST} pairs more, in the table of noise.")


def _left(found: Disattenuated) -> str:
    left = found.corrected
    if not left.high - left.low < UNKNOWN:
        return "but what is left over is about as small as the noise of the cells, so that it cannot be told"
    return f"{_interval(left)} less the noise of the cells, which alone can have made it"


def _may_be_noise(found: Disattenuated) -> bool:
    seen, left = found.raw, found.corrected
    return (seen.low > 0 or seen.high < 0) and not (left.low > 0 or left.high < 0)


def _interval(estimate: Estimate) -> str:
    return f"{estimate.value:+.2f} [{estimate.low:+.2f}, {estimate.high:+.2f}]"
