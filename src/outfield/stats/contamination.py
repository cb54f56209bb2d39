"""OOD sets that hold ID inputs: what that does to an AUROC, and what the AUROC is without them."""

from __future__ import annotations

from math import hypot

from outfield.errors import UserError
from outfield.stats import intervals
from outfield.types import Estimate


def contaminated(auroc: float, share: float) -> float:
    """The AUROC against a set of which a share q holds ID inputs: ``(1 - q) A + q / 2`` [1].

    Pairs with such an input are in the right order half of the time, as it is scored as the ID test set is.

    Raises
    ------
    UserError
        An AUROC or a share outside [0, 1].

    Examples
    --------
    >>> round(contaminated(0.95, 0.5), 3)
    0.725

    References
    ----------
    [1] Bitterwolf, Mueller, Hein. In or Out? Fixing ImageNet Out-of-Distribution Detection Evaluation. ICML 2023.
    """
    _check(auroc, share)
    return (1 - share) * auroc + share / 2


def audited(found: int, looked: int) -> Estimate:
    """The share of an OOD set that holds ID inputs, from a random sample that was looked at: Wilson's interval.

    Parameters
    ----------
    found : int
        Inputs of the sample that show an ID class.
    looked : int
        Inputs of the sample.

    Raises
    ------
    UserError
        No input was looked at, or more were found.

    Examples
    --------
    >>> print(audited(found=80, looked=400))
    0.200 [0.164, 0.242] (n = 400)
    """
    if not 0 <= found <= looked or looked < 1:
        raise UserError(
            f"Expected ID inputs among those that were looked at, but got {found} of {looked}. Count both again."
        )
    return Estimate(found / looked, *intervals.wilson(found, looked), n=looked)


def cleaned(auroc: Estimate, share: Estimate) -> Estimate:
    """The AUROC without the ID inputs of the OOD set: ``A = (A' - q / 2) / (1 - q)``, the inverse of ``contaminated``.

    The ID inputs must be scored as the ID test set is: where they are scored further out, the truth is lower. The
    interval adds in squares how far each end of both intervals moves the value (MOVER [1]), since the sample that was
    looked at and the scores are taken to err apart; where the sample is of the set itself it is wider than need be.
    Values beyond [0, 1], as of shares that are too large for the AUROC, are cut.

    Parameters
    ----------
    auroc : Estimate
        Against the set as it is.
    share : Estimate
        Of ID inputs in it, as ``audited`` gives it.

    Raises
    ------
    UserError
        A value outside [0, 1]; or nothing of the set, perhaps, is OOD.

    Examples
    --------
    >>> print(cleaned(Estimate(0.86, 0.84, 0.88, n=1000), audited(80, 400)))
    0.950 [0.918, 0.985] (n = 1000)

    References
    ----------
    [1] Zou, Donner. Construction of confidence limits about effect measures. Statistics in Medicine 2008.
    """
    _check(auroc.value, share.value)
    if max(share.value, share.high) >= 1:
        raise UserError(
            f"Expected a set that is surely OOD in part, but the share of ID inputs is {share}. Look at more inputs."
        )
    value = _inverse(auroc.value, share.value)
    by_auroc = [_inverse(end, share.value) - value for end in (auroc.low, auroc.high)]
    by_share = sorted(_inverse(auroc.value, end) - value for end in (share.low, share.high))
    down, up = (hypot(one, other) for one, other in zip(by_auroc, by_share, strict=True))
    return Estimate(_cut(value), _cut(value - down), _cut(value + up), n=auroc.n)


def _cut(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def _inverse(auroc: float, share: float) -> float:
    return (auroc - share / 2) / (1 - share)


def _check(auroc: float, share: float) -> None:
    for name, one in (("an AUROC", auroc), ("a share of ID inputs", share)):
        if not 0 <= one <= 1:
            raise UserError(f"Expected {name} in [0, 1], but got {one}. Divide percent by 100.")
