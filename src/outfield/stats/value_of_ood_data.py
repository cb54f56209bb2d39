"""What further training samples of a shifted distribution are worth: Fisher's discriminant in closed form."""

from __future__ import annotations

from scipy.optimize import minimize_scalar
from scipy.stats import norm

from outfield.errors import UserError


def discriminant_error(
    n: int, m: int, shift: float, *, separation: float = 1.0, target_weight: float | None = None
) -> float:
    """Expected error on the target of a discriminant learned from target and shifted samples: De Silva et al. 2023.

    Both classes are Gaussian of variance 1 with means ``-separation`` and ``+separation``; the shifted samples have
    both means moved by ``shift``. The threshold is the midpoint of the class means, which weigh the target by w and the
    shifted samples by 1 - w. It is ``c ~ N((1 - w) shift, w^2 / n + (1 - w)^2 / m)``, and the error
    ``(Phi((E c - separation) / s) + Phi((-E c - separation) / s)) / 2`` with ``s^2 = 1 + Var c``.

    Parameters
    ----------
    n, m : int
        Target samples, and shifted ones; each half of one class.
    shift : float
    separation : float
    target_weight : float, optional
        w; by default n / (n + m), where all samples count alike.

    Raises
    ------
    UserError
        No target sample and no shifted one, or a weight on samples that there are not.

    Examples
    --------
    A few shifted samples help, many harm:

    >>> [round(discriminant_error(4, m, shift=0.5), 4) for m in (0, 4, 256)]
    [0.1855, 0.1795, 0.1872]

    References
    ----------
    [1] De Silva, Ramesh, Priebe, Chaudhari, Vogelstein. The Value of Out-of-Distribution Data. ICML 2023.
    """
    if n < 0 or m < 0 or n + m == 0:
        raise UserError(f"Expected samples, but got {n} of the target and {m} shifted ones. Give some.")
    weight = n / (n + m) if target_weight is None else target_weight
    if not 0 <= weight <= 1 or (weight > 0 and not n) or (weight < 1 and not m):
        raise UserError(
            f"Expected a weight of the target from 0 to 1, on samples that there are, but got {weight:g} with {n} and "
            f"{m} samples. Change it."
        )
    mean = (1 - weight) * shift
    variance = (weight**2 / n if n else 0.0) + ((1 - weight) ** 2 / m if m else 0.0)
    spread = (1 + variance) ** 0.5
    return float(norm.cdf((mean - separation) / spread) + norm.cdf((-mean - separation) / spread)) / 2


def best_target_weight(n: int, m: int, shift: float, *, separation: float = 1.0) -> tuple[float, float]:
    """The weight of the target with the least expected error, and that error; it needs to be known who is shifted.

    Examples
    --------
    >>> weight, error = best_target_weight(4, 256, shift=0.5)
    >>> round(weight, 2), round(error, 4), error < min(discriminant_error(4, m, shift=0.5) for m in range(257))
    (0.51, 0.1731, True)
    """
    if n < 1 or m < 1:
        raise UserError(f"Expected samples of both, but got {n} of the target and {m} shifted ones. Give some.")
    found = minimize_scalar(
        lambda weight: discriminant_error(n, m, shift, separation=separation, target_weight=float(weight)),
        bounds=(0, 1),
        method="bounded",
    )
    return float(found.x), float(found.fun)
