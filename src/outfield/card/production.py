"""What a guard of a card's detector promises, and how to have one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from outfield.places import file_name


@dataclass(frozen=True)
class Promise:
    """What the guard that ``card.guard(path)`` builds promises; see ``outfield.guard.thresholds.Threshold``.

    Parameters
    ----------
    threshold : float
        Flagged is a score above it.
    alpha, delta, expected : float
        With probability 1 - delta over calibrations at most a share alpha of ID inputs is flagged; expected are fewer.
    n : int
        ID inputs that calibrated it.
    """

    threshold: float
    alpha: float
    delta: float
    expected: float
    n: int


@dataclass(frozen=True)
class Production:
    """The way of a card's detector into production.

    Parameters
    ----------
    model, detector : str
    promise : Promise, optional
    missing : str
        Why nothing is promised yet.

    Examples
    --------
    >>> one = Production("pets", "vim", Promise(3.25, 0.05, 0.05, 0.039, 1000))
    >>> print(one.sentence)
    At most 5.0% of ID inputs will be flagged, with probability 95% over calibrations; 3.9% are expected. Flagged is a \
score of vim above 3.25, which 1,000 ID inputs calibrated that the detector was neither fitted nor chosen on.
    >>> one.shell.splitlines()[0]
    'outfield guard build MODEL --id TRAIN --calibrate HELD --detector vim -o pets.guard'
    """

    model: str
    detector: str
    promise: Promise | None = None
    missing: str = ""

    @property
    def sentence(self) -> str:
        """What is promised, or why nothing is."""
        one = self.promise
        if one is None:
            return f"No threshold is certified yet. {self.missing}"
        return (
            f"At most {one.alpha:.1%} of ID inputs will be flagged, with probability {1 - one.delta:.0%} over "
            f"calibrations; {one.expected:.1%} are expected. Flagged is a score of {self.detector} above "
            f"{one.threshold:.6g}, which {one.n:,} ID inputs calibrated that the detector was neither fitted nor "
            "chosen on."
        )

    @property
    def python(self) -> str:
        """The recipe in Python."""
        held = "" if self.promise else ", calibrate=HELD"
        return (
            f'card.guard("{self._bundle}"{held})\n'
            f'guarded = outfield.guard(MODEL, "{self._bundle}")\n'
            "guarded(INPUTS).verdict"
        )

    @property
    def shell(self) -> str:
        """The recipe in a shell."""
        return (
            f"outfield guard build MODEL --id TRAIN --calibrate HELD --detector {self.detector} -o {self._bundle}\n"
            f"outfield guard score {self._bundle} INPUTS --model MODEL -o scores.parquet\n"
            f"outfield guard serve {self._bundle} --model MODEL"
        )

    @property
    def _bundle(self) -> str:
        return f"{file_name(self.model)}.guard"

    def summary(self) -> dict[str, Any]:
        """The same for machines."""
        promise = None if self.promise is None else asdict(self.promise)
        return {
            "detector": self.detector, "promise": promise, "missing": self.missing, "python": self.python,
            "shell": self.shell,
        }  # fmt: skip
