"""Item response: which items are hard, and which models are able, from a table of right and wrong answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from outfield.errors import UserError

Floats = NDArray[np.float64]
Kind = Literal["1pl", "2pl", "je"]
KINDS: tuple[Kind, ...] = get_args(Kind)
DIMENSIONS = 4
"""Of the space in which ``je`` places models and items."""
RIDGE = {"1pl": 0.05, "2pl": 0.1, "je": 1.0}
"""Precision of the normal priors; that of ``je`` was chosen once, on simulated answers."""
LOOSE = 0.1
"""Precision of the mean ability of ``je``, as a share of the others': where all models are able, it must be far out."""
LEAST = 3
"""Models and items below which nothing is fitted."""


@dataclass(frozen=True, eq=False)
class ItemResponse:
    """Models and items of one item response model: the logit of a right answer is ``ability . loading - difficulty``.

    Parameters
    ----------
    kind : ``1pl``, ``2pl`` or ``je``
    abilities : array, shape [models, k]
    loadings : array, shape [items, k]
        One for ``1pl``, the discrimination for ``2pl``, the unit direction of the item for ``je``.
    difficulty : array, shape [items]
        For ``je`` the norm of the item's embedding.
    """

    kind: Kind
    abilities: Floats
    loadings: Floats
    difficulty: Floats

    def probability(self, abilities: Floats | None = None) -> Floats:
        """Probability of a right answer [models, items], of these models or of others."""
        theta = self.abilities if abilities is None else abilities
        return np.asarray(expit(theta @ self.loadings.T - self.difficulty))

    def ability(self, answers: ArrayLike) -> Floats:
        """The abilities [models, k] of further models from some of their answers, the items as they were.

        Parameters
        ----------
        answers : array, shape [models, items]
            1 right, 0 wrong, NaN where the model was not asked.
        """
        found = np.atleast_2d(np.asarray(answers, dtype=np.float64))
        return np.stack([self._ability_of(row) for row in found])

    def _ability_of(self, answers: Floats) -> Floats:
        known, centre = np.isfinite(answers), self._centre
        y, a, b = answers[known], self.loadings[known], self.difficulty[known]

        def objective(theta: Floats) -> tuple[float, Floats]:
            logit = a @ theta - b
            loss = -(y * logit + log_expit(-logit)).sum() + 0.5 * (self._precision * (theta - centre) ** 2).sum()
            return float(loss), a.T @ (expit(logit) - y) + self._precision * (theta - centre)

        return np.asarray(minimize(objective, centre, jac=True, method="L-BFGS-B").x)

    @cached_property
    def _centre(self) -> Floats:
        return np.asarray(self.abilities.mean(axis=0))

    @cached_property
    def _precision(self) -> Floats:
        """Of a further model's ability: as the known ones vary."""
        return np.asarray(1 / np.maximum(self.abilities.var(axis=0), 1e-2))


def item_response(
    answers: ArrayLike, kind: Kind = "1pl", *, dimensions: int = DIMENSIONS, ridge: float | None = None, seed: int = 0
) -> ItemResponse:
    r"""Fit an item response model to a table of right and wrong answers.

    The logit of a right answer of model m to item i is

    * ``1pl`` (Rasch): :math:`\theta_m - b_i`,
    * ``2pl`` (Birnbaum): :math:`a_i (\theta_m - b_i)`,
    * ``je`` (JE-IRT, Yao et al. 2025): :math:`\langle\theta_m, q_i/\|q_i\|\rangle - \|q_i\|`. The direction of an
      item says what it asks for, its norm how hard it is. Here each item has an embedding of its own; in the paper it
      is a network's embedding of the question's text.

    Fitted by L-BFGS on the binary cross-entropy with normal priors: of ``1pl`` and ``2pl`` on every ability, difficulty
    and discrimination (about 1); of ``je`` on norms about their mean, on abilities about theirs (twice as precise) and,
    ten times looser, on that mean.

    Parameters
    ----------
    answers : array, shape [models, items]
        1 right, 0 wrong, NaN where a model was not asked.
    kind : ``1pl``, ``2pl`` or ``je``
    dimensions : int
        Of the space of ``je``.
    ridge : float, optional
        Precision of the prior; each kind has its own.
    seed : int
        Of the start of ``je``.

    Raises
    ------
    UserError
        Answers that are neither right nor wrong, fewer than three models or items, or all of one kind.

    Examples
    --------
    >>> answers = [[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]]
    >>> fit = item_response(answers)
    >>> fit.difficulty.argsort(), fit.abilities[:, 0].argsort()
    (array([0, 1, 2, 3]), array([2, 1, 0, 3]))
    """
    table = _checked(answers, kind)
    m, n = table.shape
    k = dimensions if kind == "je" else 1
    known = np.isfinite(table)
    right = np.where(known, table, 0.0)
    precision = RIDGE[kind] if ridge is None else ridge

    def objective(x: Floats) -> tuple[float, Floats]:
        theta, items = x[: m * k].reshape(m, k), x[m * k :].reshape(n, -1)
        loadings, difficulty = _of_items(items, kind)
        logit = theta @ loadings.T - difficulty
        slope = known * (expit(logit) - right)
        held, by_theta, by_items = (_spread if kind == "je" else _normal)(theta, items, kind)
        by_theta = slope @ loadings + precision * by_theta
        by_items = _back(items, slope.T @ theta, -slope.sum(axis=0), kind) + precision * by_items
        loss = precision * held - (known * (right * logit + log_expit(-logit))).sum()
        return float(loss), np.concatenate([by_theta.ravel(), by_items.ravel()])

    start = _start(table, kind, k, np.random.default_rng(seed))
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return ItemResponse(kind, found[: m * k].reshape(m, k), *_of_items(found[m * k :].reshape(n, -1), kind))


def _normal(theta: Floats, items: Floats, kind: Kind) -> tuple[float, Floats, Floats]:
    """Half the squares of abilities and of item parameters, with their gradients; a discrimination is near 1."""
    away = items - (np.array([1.0, 0.0]) if kind == "2pl" else 0.0)
    return 0.5 * float((theta**2).sum() + (away**2).sum()), theta, away


def _spread(theta: Floats, items: Floats, kind: Kind) -> tuple[float, Floats, Floats]:
    """The same of abilities about their mean (twice), of that mean, and of norms about theirs."""
    mean, norm = theta.mean(axis=0), _of_items(items, kind)[1]
    apart, away = theta - mean, norm - norm.mean()
    held = (apart**2).sum() + 0.5 * LOOSE * len(theta) * (mean**2).sum() + 0.5 * (away**2).sum()
    return float(held), 2 * apart + LOOSE * mean, _back(items, np.zeros_like(items[:, :-1]), away, kind)


def _checked(answers: ArrayLike, kind: str) -> Floats:
    if kind not in KINDS:
        raise UserError(f"Expected an item response model of {', '.join(KINDS)}, but got {kind!r}. Name one of these.")
    table = np.asarray(answers, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < LEAST:
        raise UserError(
            f"Expected the answers of at least {LEAST} models to {LEAST} items, but got {list(table.shape)}. "
            "Pass a table with a row a model and a column an item."
        )
    known = table[np.isfinite(table)]
    if odd := sorted(set(np.unique(known)) - {0.0, 1.0}):
        raise UserError(
            f"Expected answers that are right (1) or wrong (0), but got {odd[0]:g}. Say from which value on an answer "
            "is right, and pass whether each is."
        )
    if len(np.unique(known)) < 2:
        raise UserError("Expected right and wrong answers, but got one of these alone. Add models or harder items.")
    return table


def _start(table: Floats, kind: Kind, k: int, rng: np.random.Generator) -> Floats:
    """Logits of the shares that are right; for ``je`` all directions near the first axis."""
    able, easy = (_logit(np.nanmean(table, axis=axis)) for axis in (1, 0))
    if kind == "1pl":
        return np.concatenate([able, -easy])
    if kind == "2pl":
        return np.concatenate([able, np.column_stack([np.ones_like(easy), -easy]).ravel()])
    theta = rng.normal(0, 0.5, (len(able), k)) + (able + 2)[:, None] / np.sqrt(k)
    norm = np.clip(2 - easy, 0.2, 5)
    items = np.column_stack([np.abs(rng.normal(0, 1, (len(easy), k))), np.log(np.expm1(norm))])
    return np.concatenate([theta.ravel(), items.ravel()])


def _logit(share: Floats) -> Floats:
    inside = np.clip(share, 0.02, 0.98)
    return np.asarray(np.log(inside / (1 - inside)))


def _of_items(items: Floats, kind: Kind) -> tuple[Floats, Floats]:
    """Loadings and difficulty of items as they are fitted: of ``je`` as a vector along the direction, and its norm."""
    if kind == "1pl":
        return np.ones_like(items), items[:, 0]
    if kind == "2pl":
        return items[:, :1], items[:, 1]
    return items[:, :-1] / np.linalg.norm(items[:, :-1], axis=1, keepdims=True), np.logaddexp(0, items[:, -1])


def _back(items: Floats, by_loading: Floats, by_difficulty: Floats, kind: Kind) -> Floats:
    """The gradient by items, from those by their loadings and difficulty."""
    if kind == "1pl":
        return by_difficulty[:, None]
    if kind == "2pl":
        return np.column_stack([by_loading[:, 0], by_difficulty])
    length = np.linalg.norm(items[:, :-1], axis=1, keepdims=True)
    loadings = items[:, :-1] / length
    turned = by_loading - (by_loading * loadings).sum(axis=1, keepdims=True) * loadings
    return np.column_stack([turned / length, by_difficulty * expit(items[:, -1])])


def held_out(answers: ArrayLike, share: float = 0.1, seed: int = 0) -> tuple[Floats, NDArray[np.bool_]]:
    """A share of the known cells hidden: the table with NaN in their place, and which they are.

    Examples
    --------
    >>> table, hidden = held_out(np.ones((4, 5)), 0.25)
    >>> int(hidden.sum()), int(np.isnan(table).sum())
    (5, 5)
    """
    table = np.array(answers, dtype=np.float64)
    cells = np.argwhere(np.isfinite(table))
    rng = np.random.default_rng(seed)
    some = cells[rng.choice(len(cells), round(share * len(cells)), replace=False)]
    hidden = np.zeros(table.shape, dtype=bool)
    hidden[tuple(some.T)] = True
    return np.where(hidden, np.nan, table), hidden
