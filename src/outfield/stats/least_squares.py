"""Least squares of one response, with errors that hold where the spread differs from unit to unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from outfield.types import Array


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Coefficients of a regression [k], its residuals and leverages [n], and the QR decomposition that gave them."""

    params: Array
    residuals: Array
    leverages: Array
    columns: Array
    triangle: Array

    @cached_property
    def robust(self) -> Array:
        """Covariance of the coefficients [k, k] that holds for unequal spread: MacKinnon and White's HC3.

        ``(X'X)^-1 X' diag(e^2 / (1 - h)^2) X (X'X)^-1`` with residuals e and leverages h.
        """
        scaled = self.residuals / np.maximum(1 - self.leverages, np.finfo(float).eps)
        half = np.linalg.solve(self.triangle, (self.columns * scaled[:, None]).T)
        return np.asarray(half @ half.T)

    @property
    def t(self) -> Array:
        """Coefficients over their robust standard errors."""
        return np.asarray(self.params / np.sqrt(np.diag(self.robust)))

    @property
    def fit_errors(self) -> Array:
        """Standard errors of fitted values [n], of one spread for all: ``s sqrt(h)``."""
        free = len(self.residuals) - len(self.params)
        return np.asarray(np.sqrt((self.residuals**2).sum() / free * self.leverages))


def least_squares(design: Array, y: Array) -> LeastSquares:
    """Regression of y [n] on the columns of a design [n, k] of full rank, fewer than rows.

    Examples
    --------
    >>> found = least_squares(np.array([[1.0, 0], [1, 1], [1, 2], [1, 3]]), np.array([1.0, 3, 5, 8]))
    >>> found.params.round(2).tolist(), np.sqrt(np.diag(found.robust)).round(3).tolist()
    ([0.8, 2.3], [0.514, 0.365])

    References
    ----------
    MacKinnon, White, Some heteroskedasticity-consistent covariance matrix estimators with improved finite sample
    properties, Journal of Econometrics 1985.
    """
    columns, triangle = np.linalg.qr(design)
    parts = y @ columns
    return LeastSquares(
        np.linalg.solve(triangle, parts), y - columns @ parts, (columns**2).sum(axis=1), columns, triangle
    )
