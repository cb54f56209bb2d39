"""Maximum likelihood and weighted likelihood where inputs shift and the conditional stays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from outfield.errors import UserError

Values = NDArray[np.float64]


def information(x: Values, weights: Values) -> Values:
    """Fisher information ``E weight x x^T`` of a generalised linear model [p, p], from inputs [n, p].

    ``weights`` are the variances of the answers over their dispersion: ``1 / noise^2`` of linear regression,
    ``p (1 - p)`` of logistic.

    Examples
    --------
    >>> information(np.array([[1.0, 0.0], [1.0, 2.0]]), np.ones(2))
    array([[1., 1.],
           [1., 2.]])
    """
    return np.asarray((x * weights[:, None]).T @ x / len(x))


def risk_constant(source: Values, target: Values) -> float:
    """``Tr(I_T I_S^-1) / 2``: n times the excess risk (in nats) of the source's maximum likelihood on the target [1].

    It holds where the model is well specified: then no estimator does better in the worst case, and weights by the
    density ratio only add variance. Where the model is misspecified the maximum likelihood converges to what fits the
    source, and the weighted likelihood to what fits the target.

    Raises
    ------
    UserError
        The source's information has no inverse.

    Examples
    --------
    >>> risk_constant(np.eye(2), np.diag([1.0, 5.0]))
    3.0

    References
    ----------
    [1] Ge, Tang, Fan, Ma, Jin. Maximum Likelihood Estimation is All You Need for Well-Specified Covariate Shift.
    ICLR 2024.
    """
    if np.linalg.matrix_rank(source) < len(source):
        raise UserError("Expected inputs of the source in all directions, but some have none. Leave those columns out.")
    return float(np.trace(np.linalg.solve(source, target))) / 2


def density_ratio(x: Values, source: tuple[float, float], target: tuple[float, float]) -> Values:
    """``p_T(x) / p_S(x)`` of two Gaussians, each of a mean and a standard deviation: the weights of the likelihood [n].

    Examples
    --------
    >>> density_ratio(np.array([0.0, 0.5]), (0.0, 1.0), (1.0, 1.0)).round(3)
    array([0.607, 1.   ])
    """
    (at, width), (there, wide) = source, target
    exponent = ((x - at) / width) ** 2 / 2 - ((x - there) / wide) ** 2 / 2
    return np.asarray(width / wide * np.exp(exponent))


def least_squares(x: Values, y: Values, weights: Values | None = None) -> Values:
    """The (weighted) maximum likelihood of linear regression with Gaussian noise: coefficients [p].

    Examples
    --------
    >>> least_squares(np.array([[1.0], [1.0]]), np.array([0.0, 4.0]), np.array([3.0, 1.0]))
    array([1.])
    """
    root = np.ones(len(y)) if weights is None else np.sqrt(weights)
    return np.asarray(np.linalg.lstsq(x * root[:, None], y * root, rcond=None)[0])
