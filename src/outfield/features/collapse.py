"""Neural collapse: how far features and head of a classifier have come to one mean a class, on a simplex."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from outfield.features.folds import run
from outfield.features.moments import Moments
from outfield.types import Head, Outputs


def collapse(chunks: Iterable[Outputs], head: Head) -> dict[str, float]:
    """The first four measures of neural collapse [1], each 0 at full collapse; none where a class has no rows.

    With class means about their own mean: ``nc1`` is ``tr(S_W S_B^+) / C``, the variance within classes against that
    between; ``nc2_norms`` the spread of the means' lengths over their average; ``nc2_angles`` the mean of
    ``|cos + 1 / (C - 1)|`` over pairs of means; ``nc3`` the distance of the means from the weights, both of Frobenius
    norm one; ``nc4`` the share of rows whose nearest mean is not the predicted class.

    Parameters
    ----------
    chunks : re-iterable of Outputs with logits, features and labels

    Examples
    --------
    >>> corners = torch.eye(3) - 1 / 3
    >>> out = Outputs(corners, corners, torch.arange(3))
    >>> [f"{abs(value):.0f}" for value in collapse([out], Head(corners, torch.zeros(3))).values()]
    ['0', '0', '0', '0', '0']

    References
    ----------
    [1] Papyan, Han, Donoho. Prevalence of Neural Collapse during the Terminal Phase of Deep Learning Training.
        PNAS 2020.
    """
    (sums,) = run([fold := Moments()], chunks)
    moments = fold.finish(sums)
    if len(moments.counts) < _CLASSES or not bool((moments.counts > 0).all()):
        return {}
    means = moments.class_means
    away = means - means.mean(0)
    lengths = away.norm(dim=1)
    wrong = sum(_elsewhere(chunk, means) for chunk in chunks)
    return {
        "nc1": _within_against_between(moments.within, away),
        "nc2_norms": float(lengths.std(correction=0) / lengths.mean()),
        "nc2_angles": _from_a_simplex(away / lengths[:, None]),
        "nc3": float((_of_norm_one(away) - _of_norm_one(head.weight.double())).norm()),
        "nc4": wrong / moments.n,
    }


def ood_alignment(class_means: Tensor, ood_mean: Tensor) -> float:
    """NC5, the mean of ``|cos(mu_c, mu_OOD)|`` over classes: 0 where OOD features lie across those of the classes [1].

    Examples
    --------
    >>> ood_alignment(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0.0, 0.0, 2.0]))
    0.0

    References
    ----------
    [1] Ammar, Belkhir, Popescu, Manzanera, Franchi. NECO: NEural Collapse Based Out-of-distribution detection.
        ICLR 2024.
    """
    return float(torch.nn.functional.cosine_similarity(class_means, ood_mean[None], dim=1).abs().mean())


_CLASSES = 2
"""Fewer have no means to compare."""


def _within_against_between(within: Tensor, away: Tensor) -> float:
    """``tr(S_W S_B^+) / C`` by the singular vectors of the class means, of which there are C - 1."""
    _, lengths, directions = torch.linalg.svd(away, full_matrices=False)
    kept = lengths > 1e-10 * lengths[0]
    spread = torch.einsum("kd,de,ke->k", directions[kept], within, directions[kept])
    return float((spread / lengths[kept].square()).sum())


def _from_a_simplex(units: Tensor) -> float:
    classes = len(units)
    pairs = (units @ units.T)[~torch.eye(classes, dtype=torch.bool, device=units.device)]
    return float((pairs + 1 / (classes - 1)).abs().mean())


def _of_norm_one(rows: Tensor) -> Tensor:
    return rows / rows.square().sum().sqrt()


def _elsewhere(chunk: Outputs, means: Tensor) -> float:
    """Rows whose nearest mean is not the predicted class."""
    distances = means.square().sum(1) - 2 * chunk.features.double() @ means.T
    return float((distances.argmin(1) != chunk.logits.argmax(1)).sum())
