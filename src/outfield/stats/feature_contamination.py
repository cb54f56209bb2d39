"""Why networks learn features that say nothing of the label: two-layer ReLU networks against linear ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Features:
    """Inputs of core features, which follow the label, and of background, which does not [1].

    Core features are ``y u`` with u from 0 to 1; background features are from 0 to 1, whatever the label. Where the
    background shifts, it is the same with the other sign, ``strength`` times.

    Parameters
    ----------
    core, background : int
        Numbers of features.
    strength : float
        Of the shifted background.

    Examples
    --------
    >>> x, y = Features(core=2, background=3).draw(4, np.random.default_rng(0))
    >>> x.shape, set(y.tolist()) <= {-1.0, 1.0}, bool((x[:, :2] * y[:, None] >= 0).all()), bool((x[:, 2:] >= 0).all())
    ((4, 5), True, True, True)

    References
    ----------
    [1] Zhang, Zhao, Chen, Jordan. Feature Contamination: Neural Networks Learn Uncorrelated Features and Fail to
    Generalize. ICML 2024.
    """

    core: int = 5
    background: int = 20
    strength: float = 1.0

    def draw(self, n: int, rng: np.random.Generator, *, shifted: bool = False) -> tuple[Values, Values]:
        """Inputs [n, core + background] and labels -1 or 1 [n]."""
        y = rng.choice([-1.0, 1.0], n)
        background = rng.random((n, self.background)) * (-self.strength if shifted else 1.0)
        return np.hstack([y[:, None] * rng.random((n, self.core)), background]), y


@dataclass(frozen=True)
class TwoLayers:
    """``h(x) = sum_k a_k s(w_k x)`` with fixed answers ``a_k`` of either sign; s is ReLU, or the identity.

    Attributes
    ----------
    weights : array [units, D]
    answers : array [units]
    relu : bool
    """

    weights: Values
    answers: Values
    relu: bool

    @classmethod
    def start(cls, columns: int, units: int, rng: np.random.Generator, *, relu: bool) -> TwoLayers:
        """Small random weights; half of the units answer yes, half no."""
        answers = np.where(np.arange(units) % 2, -1.0, 1.0) / units
        return cls(rng.normal(0, 1e-3, (units, columns)), answers, relu)

    def hidden(self, x: Values) -> Values:
        """[n, units]."""
        found = x @ self.weights.T
        return np.maximum(found, 0) if self.relu else found

    def answer(self, x: Values) -> Values:
        """h(x), [n]."""
        return np.asarray(self.hidden(x) @ self.answers)

    def accuracy(self, x: Values, y: Values) -> float:
        """Share of right signs."""
        return float(np.mean(np.sign(self.answer(x)) == y))

    def moved(self, x: Values, slope: Values, rate: float) -> TwoLayers:
        """After a step against the gradient, where ``slope`` is that of each row's loss by its answer."""
        open_units = (x @ self.weights.T > 0) if self.relu else np.ones((len(x), len(self.answers)))
        gradient = (slope[:, None] * open_units * self.answers).T @ x / len(x)
        return TwoLayers(self.weights - rate * gradient, self.answers, self.relu)

    def growth(self, columns: slice) -> float:
        """Mean over units of the correlation with the mean of some features: their mean weight, in absolute value."""
        return float(np.abs(self.weights[:, columns].mean(axis=1)).mean())


def descended(
    start: TwoLayers, features: Features, rng: np.random.Generator, *, steps: int = 200, rate: float = 1.0
) -> TwoLayers:
    """The network after online gradient descent on the logistic loss, 64 fresh inputs a step.

    Examples
    --------
    >>> features, rng = Features(), np.random.default_rng(0)
    >>> relu, linear = (descended(TwoLayers.start(25, 40, rng, relu=one), features, rng) for one in (True, False))
    >>> relu.growth(slice(5, None)) > 3 * linear.growth(slice(5, None))
    True
    """
    network = start
    for _ in range(steps):
        x, y = features.draw(64, rng)
        network = network.moved(x, -y / (1 + np.exp(y * network.answer(x))), rate)
    return network


def taught(
    start: TwoLayers, features: Features, rng: np.random.Generator, *, steps: int = 200, rate: float = 1.0
) -> TwoLayers:
    """The network after regressing a robust teacher: the sum of the core features, which no background moves."""
    network = start
    for _ in range(steps):
        x, _ = features.draw(64, rng)
        network = network.moved(x, network.answer(x) - x[:, : features.core].sum(axis=1), rate)
    return network
