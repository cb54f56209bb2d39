"""The best answer of a model that does not see its input, how far predictions are from it, and when to abstain."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from outfield.errors import UserError

Floats = NDArray[np.float64]
Loss = Literal["cross_entropy", "squared_error"]
ABSTAIN = -1
"""The decision not to answer."""


def optimal_constant(targets: ArrayLike, loss: Loss = "cross_entropy", *, classes: int | None = None) -> Floats:
    r"""The optimal constant solution :math:`c^* = \arg\min_c E\,\ell(c, y)` (Kang et al. 2024).

    Of cross-entropy it is the share of each class, of squared error the mean of the targets.

    Parameters
    ----------
    targets : array
        Class numbers [n], or for ``squared_error`` numbers [n] or [n, k].
    loss : ``cross_entropy`` or ``squared_error``
    classes : int, optional
        How many there are; by default one more than the largest label.

    Raises
    ------
    UserError
        No targets, another loss, or labels that are no class numbers.

    Examples
    --------
    >>> optimal_constant([0, 0, 1, 2]), optimal_constant([1.0, 2.0, 6.0], "squared_error")
    (array([0.5 , 0.25, 0.25]), array([3.]))
    """
    known = np.asarray(targets)
    _check_loss(loss)
    if not known.size:
        raise UserError("Expected targets to find the best constant answer of, but got none. Pass those of training.")
    if loss == "squared_error":
        return np.atleast_1d(known.astype(np.float64).mean(axis=0))
    if known.ndim != 1 or (known != np.floor(known)).any() or known.min() < 0:
        raise UserError(f"Expected class numbers [n], but got {known.dtype} {list(known.shape)}. Pass labels from 0.")
    counts = np.bincount(known.astype(np.int64), minlength=classes or 0)
    return np.asarray(counts / counts.sum())


def constant_distance(predictions: ArrayLike, constant: ArrayLike, loss: Loss = "cross_entropy") -> Floats:
    r"""How far each prediction is from the constant: :math:`KL(p \| c)` in nats, or the squared distance.

    Parameters
    ----------
    predictions : array, shape [n, C]
        Probabilities, or for ``squared_error`` predicted numbers [n] or [n, k].
    constant : array, shape [C]
    loss : ``cross_entropy`` or ``squared_error``

    Examples
    --------
    >>> constant_distance([[0.5, 0.5], [1.0, 0.0]], [0.5, 0.5]).round(4)
    array([0.    , 0.6931])
    """
    _check_loss(loss)
    said, at = np.asarray(predictions, dtype=np.float64), np.asarray(constant, dtype=np.float64)
    said = said[:, None] if said.ndim == 1 else said
    if said.ndim != 2 or said.shape[1:] != at.shape:
        raise UserError(
            f"Expected predictions [n, {at.size}], as the constant has, but got {list(said.shape)}. "
            "Pass those of one model."
        )
    if loss == "squared_error":
        return np.asarray(((said - at) ** 2).sum(axis=1))
    with np.errstate(divide="ignore"):
        return np.asarray((xlogy(said, said) - np.where(said > 0, said * np.log(at), 0.0)).sum(axis=1))


def decide(probabilities: ArrayLike, *, wrong: float, abstain: float) -> NDArray[np.int64]:
    """The decision of least expected cost: a class, or -1 to abstain (Kang et al. 2024; Chow 1970).

    A right answer costs nothing. A model that falls back to its constant answer far from its data abstains there by
    itself, where that costs less than the constant answer would.

    Parameters
    ----------
    probabilities : array, shape [n, C]
    wrong, abstain : float
        Costs of a wrong answer and of none.

    Examples
    --------
    >>> decide([[0.9, 0.1], [0.6, 0.4]], wrong=1.0, abstain=0.3)
    array([ 0, -1])
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not 0 <= abstain <= wrong:
        raise UserError(
            f"Expected abstaining to cost from 0 to as much as a wrong answer, {wrong:g}, but got {abstain:g}. "
            "Give what each costs."
        )
    return np.where(wrong * (1 - p.max(axis=1)) <= abstain, p.argmax(axis=1), ABSTAIN)


def mean_cost(decisions: ArrayLike, labels: ArrayLike, *, wrong: float, abstain: float) -> float:
    """What decisions cost on average.

    Examples
    --------
    >>> mean_cost([0, -1, 1], [0, 0, 0], wrong=1.0, abstain=0.25)
    0.4166666666666667
    """
    made, true = np.asarray(decisions), np.asarray(labels)
    return float(np.where(made == ABSTAIN, abstain, np.where(made == true, 0.0, wrong)).mean())


def _check_loss(loss: str) -> None:
    if loss not in get_args(Loss):
        raise UserError(f"Expected a loss of {', '.join(get_args(Loss))}, but got {loss!r}. Name one of these.")
