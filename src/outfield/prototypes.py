"""Which items are typical of a data set, and which are rare or wrongly labelled: five scores (Carlini et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import rankdata
from torch import Tensor, nn

from outfield.errors import UserError

Floats = NDArray[np.float64]
Make = Callable[[], nn.Module]
SCORES = ("adversarial", "retraining", "agreement", "confidence", "privacy")


@dataclass(frozen=True)
class Training:
    """How the networks behind the scores are trained.

    Parameters
    ----------
    members : int
        Networks of the ensemble; for each, another half of the items is held out first.
    steps, batch, rate
        Of Adam, for each half and again for the whole. Enough for a network to learn wrong labels by heart.
    noises : tuple of floats
        Of differentially private training, each a multiple of the clipped gradient's norm: the more, the more private.
    private_steps : int
        Of differentially private training.
    clip : float
        Norm to which each item's gradient is clipped there.
    """

    members: int = 5
    steps: int = 200
    batch: int = 200
    rate: float = 0.005
    noises: tuple[float, ...] = (0.5, 1.0, 2.0)
    private_steps: int = 100
    clip: float = 1.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The five scores of each item, higher is more typical.

    Attributes
    ----------
    scores : frame
        A row an item: ``adversarial``, ``retraining``, ``agreement``, ``confidence``, ``privacy``.
    """

    scores: pl.DataFrame

    def correlations(self) -> pl.DataFrame:
        """Spearman's rho of every pair: columns first, second, rho."""
        ranks = {name: rankdata(self.scores[name]) for name in SCORES}
        pairs = [(a, b) for i, a in enumerate(SCORES) for b in SCORES[i + 1 :]]
        rows = [{"first": a, "second": b, "rho": float(np.corrcoef(ranks[a], ranks[b])[0, 1])} for a, b in pairs]
        return pl.DataFrame(rows)

    def combined(self) -> Floats:
        """The lowest of an item's percentiles by the five scores, in (0, 1]: an outlier to any of them is out."""
        return np.asarray(np.min([self._percentile(name) for name in SCORES], axis=0))

    def typical(self) -> Floats:
        """The mean of an item's percentiles by the five scores, in (0, 1]: the more, the more typical."""
        return np.asarray(np.mean([self._percentile(name) for name in SCORES], axis=0))

    def curriculum(self, y: Tensor) -> NDArray[np.int64]:
        """Items in the order of a curriculum: the most typical of each class first, the classes in turn."""
        typical, labels = self.typical(), np.asarray(y)
        turn = np.empty(len(labels))
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            turn[own[np.argsort(-typical[own])]] = np.arange(len(own))
        return np.lexsort((-typical, turn))

    def kinds(self, share: float = 0.25) -> pl.Series:
        """What each item is: ``prototype``, ``memorised``, ``uncommon``, or none of these.

        A prototype is among the upper ``share`` by every score. A memorised item is fitted with confidence, and other
        items do not lead to it: upper half by confidence, lowest ``share`` by retraining or privacy. An uncommon one is
        agreed upon by the ensemble and lost to private training, as a small group of its own is.
        """
        of = {name: self._percentile(name) for name in SCORES}
        high = np.all([of[name] > 1 - share for name in SCORES], axis=0)
        memorised = (of["confidence"] > 0.5) & (of["retraining"] <= share)
        uncommon = (of["agreement"] > 0.5) & (of["privacy"] <= share) & ~memorised
        found = np.select([high, memorised, uncommon], ["prototype", "memorised", "uncommon"], "")
        return pl.Series("kind", found).replace("", None)

    def _percentile(self, name: str) -> Floats:
        return np.asarray(rankdata(self.scores[name]) / self.scores.height)


def agreement(probabilities: Floats) -> Floats:
    """How much an ensemble agrees on each item: minus the mean Jensen-Shannon divergence of its pairs, in nats.

    Parameters
    ----------
    probabilities : array, shape [members, n, C]

    Examples
    --------
    >>> agreement(np.array([[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]])).round(4) + 0.0
    array([-0.6931,  0.    ])
    """
    pairs = [(a, b) for a in range(len(probabilities)) for b in range(a)]
    divergences = [_js(probabilities[a], probabilities[b]) for a, b in pairs]
    return np.asarray(-np.mean(divergences, axis=0))


def confidence(probabilities: Floats) -> Floats:
    """Mean over an ensemble of the largest probability of each item, of [members, n, C]."""
    return np.asarray(probabilities.max(axis=2).mean(axis=0))


def retraining(held_out: Floats, trained: Floats) -> Floats:
    """How little training on an item changes what is said of it: minus the symmetric KL divergence, of [n, C] each.

    Examples
    --------
    >>> retraining(np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])).round(4)
    array([-0.8789])
    """
    p, q = (np.clip(one, 1e-12, 1) for one in (held_out, trained))
    return np.asarray(-(rel_entr(p, q) + rel_entr(q, p)).sum(axis=1))


def _js(p: Floats, q: Floats) -> Floats:
    middle = (p + q) / 2
    return np.asarray((rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1) / 2)


def adversarial_distance(network: nn.Module, x: Tensor, steps: int = 20) -> Floats:
    """L2 distance from each input [n, ...] to the nearest other decision that DeepFool finds (Moosavi-Dezfooli 2016).

    Examples
    --------
    >>> half = nn.Linear(1, 2)
    >>> _ = half.weight.data.copy_(torch.tensor([[1.0], [-1.0]])), half.bias.data.zero_()
    >>> adversarial_distance(half, torch.tensor([[3.0], [-0.5]])).round(2)
    array([3.02, 0.5 ])
    """
    network.eval()
    with torch.no_grad():
        first = network(x).argmax(dim=1)
    moved, done = x.clone(), torch.zeros(len(x), dtype=torch.bool)
    for _ in range(steps):
        step, now = _to_boundary(network, moved, first)
        done |= now != first
        if done.all():
            break
        moved = torch.where(done.view(-1, *[1] * (x.ndim - 1)), moved, moved + 1.005 * step)
    return np.asarray((moved - x).flatten(1).norm(dim=1).double().numpy())


def _to_boundary(network: nn.Module, x: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """The shortest step to a boundary of the decision ``first``, to first order, and the decision now."""
    at = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = network(at)
        own = logits.gather(1, first[:, None])[:, 0]
        slopes = [
            torch.autograd.grad((logits[:, c] - own).sum(), at, retain_graph=True)[0] for c in range(logits.shape[1])
        ]
    w = torch.stack(slopes, dim=1).flatten(2)
    gap = (logits.detach() - own.detach()[:, None]).abs()
    far = gap / w.norm(dim=2).clamp_min(1e-12)
    far = far.scatter(1, first[:, None], torch.inf)
    nearest = far.argmin(dim=1)
    rows = torch.arange(len(x))
    direction = w[rows, nearest]
    step = (
        (gap[rows, nearest] + 1e-6)[:, None] * direction / direction.square().sum(dim=1, keepdim=True).clamp_min(1e-12)
    )
    return step.view_as(x), logits.detach().argmax(dim=1)


def prototypes(make: Make, x: Tensor, y: Tensor, how: Training | None = None) -> Prototypes:
    """The five scores of every item of a training set; networks are trained for them.

    * ``adversarial``: distance to the nearest other decision, mean over the ensemble.
    * ``retraining``: how little a network that has not seen the item changes when it is trained on it.
    * ``agreement`` and ``confidence`` of the ensemble.
    * ``privacy``: share of differentially private networks, over levels of noise, that get the item right.

    Parameters
    ----------
    make : function
        Makes a fresh network from inputs to logits.
    x : Tensor, shape [n, ...]
    y : Tensor, shape [n]
        Class numbers.
    how : Training, optional

    Raises
    ------
    UserError
        Inputs and labels of different numbers, or fewer than two members.
    """
    how = how or Training()
    if len(x) != len(y) or len(x) < 4:
        raise UserError(f"Expected a label for each of at least four items, but got {len(x)} and {len(y)}. Pass both.")
    if how.members < 2 or not how.noises:
        raise UserError(f"Expected at least two members and a noise, but got {how}. An ensemble needs them.")
    with torch.random.fork_rng(), torch.inference_mode(mode=False), torch.enable_grad():
        torch.manual_seed(how.seed)
        halves, change = [], np.zeros((how.members, len(x)))
        for member in range(how.members):
            network = make()
            out = torch.randperm(len(x))[: len(x) // 2]
            inside = torch.ones(len(x), dtype=torch.bool).index_fill(0, out, False)
            _train(network, x[inside], y[inside], how)
            before = _said(network, x)
            _train(network, x, y, how)
            change[member] = np.where(inside.numpy(), np.nan, retraining(before, _said(network, x)))
            halves.append(network)
        said = np.stack([_said(network, x) for network in halves])
        private = [_private(make(), x, y, noise, how) for noise in how.noises]
    right = np.mean([_said(network, x).argmax(axis=1) == y.numpy() for network in private], axis=0)
    sure = np.mean([_said(network, x)[np.arange(len(x)), y.numpy()] for network in private], axis=0)
    far = np.mean([adversarial_distance(network, x) for network in halves], axis=0)
    columns = (far, _held(change), agreement(said), confidence(said), right + 1e-3 * sure)
    return Prototypes(pl.DataFrame(dict(zip(SCORES, columns, strict=True))))


def _held(change: Floats) -> Floats:
    """Means over the members that held an item out; an item that none did has the median of all."""
    known = np.isfinite(change).any(axis=0)
    found = np.full(change.shape[1], np.nan)
    found[known] = np.nanmean(change[:, known], axis=0)
    return np.where(known, found, np.nanmedian(found))


def _said(network: nn.Module, x: Tensor) -> Floats:
    network.eval()
    with torch.no_grad():
        return np.asarray(network(x).double().softmax(dim=1).numpy())


def _train(network: nn.Module, x: Tensor, y: Tensor, how: Training) -> None:
    network.train()
    optimizer = torch.optim.Adam(network.parameters(), lr=how.rate)
    for _ in range(how.steps):
        rows = torch.randint(len(x), (min(how.batch, len(x)),))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        optimizer.step()


def _private(network: nn.Module, x: Tensor, y: Tensor, noise: float, how: Training) -> nn.Module:
    """Trained with each item's gradient clipped, and noise on their sum (Abadi et al. 2016)."""
    parameters = dict(network.named_parameters())
    buffers = dict(network.named_buffers())

    def loss(weights: dict[str, Tensor], one: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(network, (weights, buffers), (one[None],))
        return nn.functional.cross_entropy(logits, label[None])

    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))
    optimizer = torch.optim.Adam(network.parameters(), lr=how.rate)
    size = min(how.batch, len(x))
    for _ in range(how.private_steps):
        rows = torch.randint(len(x), (size,))
        slopes = each({name: p.detach() for name, p in parameters.items()}, x[rows], y[rows])
        norm = torch.stack([g.flatten(1).norm(dim=1) for g in slopes.values()]).norm(dim=0)
        factor = (how.clip / norm.clamp_min(1e-12)).clamp_max(1.0)
        for name, p in parameters.items():
            summed = torch.tensordot(factor, slopes[name], dims=1)
            p.grad = (summed + noise * how.clip * torch.randn_like(summed)) / size
        optimizer.step()
    return network
