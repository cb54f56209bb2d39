from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors._cosines import cosines
from outfield.detectors._texts import own_temperature, words_of
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.moments import unit
from outfield.types import Outputs, State


@dataclass(frozen=True)
class NegLabel(Detector):
    """The share of words that name no class in what a picture is like, mean over groups of such words [1].

    ``mean_g N_g / (I + N_g)`` with ``I = sum_c exp(cos(f, t_c) / T)`` over the classes' texts and N_g the same sum over
    a group of negative words: those of a list that are least like the classes, by a high percentile of their cosines
    to the classes' texts. Needs a model that embeds texts beside pictures.

    Parameters
    ----------
    words : str or tuple of str
        ``nouns`` (common English nouns), ``scenes`` (what the mini CLIP reads), a file with one word or phrase a line,
        or the words themselves.
    share : float
        Of the words that become negative; at least one does.
    percentile : float
        Of a word's cosines to the classes, by which it is judged to be like them.
    groups : int
        Into which the negative words are divided at random; one is the formula without groups.
    temperature : float, optional
        By default that of the model's own logits, .01 for the published CLIPs.
    seed : int
        Of the division.

    Examples
    --------
    >>> from outfield.types import Head
    >>> head = Head(torch.tensor([[1.0, 0.0]]), torch.zeros(1))
    >>> out = Outputs(features=torch.tensor([[1.0, 0.0], [0.0, 1.0]]), head=head)
    >>> data = FitData.of(out, encoder=lambda words: torch.tensor([[0.0, 1.0]] * len(words)))
    >>> detector = NegLabel(words=("sky",), temperature=1.0)
    >>> detector.score(out, detector.fit(data))
    tensor([0.2689, 0.7311], dtype=torch.float64)

    References
    ----------
    [1] Jiang, Liu, Fang, Chen, Liu, Zheng, Han. Negative Label Guided OOD Detection with Pretrained Vision-Language
        Models. ICLR 2024.
    """

    words: str | tuple[str, ...] = "nouns"
    share: float = 0.15
    percentile: float = 0.95
    groups: int = 100
    temperature: float | None = None
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features", "head"})
    information: ClassVar[str] = "hybrid"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"head", "texts"})
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "share": (0.0, 1.0),
        "percentile": (0.0, 1.0),
        "groups": (1, 1e6),
        "temperature": (1e-6, 1e6),
        "seed": (0, 2**62),
    }
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"share": (0.05, 0.15, 0.5)}

    def fit(self, data: FitData) -> State:
        texts = data.texts(words_of(self.words))
        chosen = least_alike(texts, data.head.weight, self.share, self.percentile)
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(self.seed))
        return {"negatives": texts[chosen][order.to(texts.device)]}

    def score(self, out: Outputs, state: State) -> Tensor:
        negatives = state["negatives"]
        sharpness = 1 / (own_temperature(out.head) if self.temperature is None else self.temperature)
        known = (sharpness * cosines(out).double()).logsumexp(1)
        unknown = sharpness * (unit(out.features) @ negatives.to(out.features.dtype).T).double()
        groups = torch.arange(len(negatives), device=negatives.device) % min(self.groups, len(negatives))
        sums = [unknown[:, groups == group].logsumexp(1) for group in range(int(groups.max()) + 1)]
        return torch.stack([(one - known).sigmoid() for one in sums]).mean(0)


def least_alike(texts: Tensor, classes: Tensor, share: float, percentile: float) -> Tensor:
    """Numbers of the texts [m, D] whose percentile of cosines to the classes [C, D] is lowest, a share of them.

    Examples
    --------
    >>> least_alike(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[5.0, 0.0]]), share=0.5, percentile=0.95)
    tensor([1])
    """
    alike = (unit(texts) @ unit(classes.to(texts.dtype)).T).quantile(percentile, dim=1)
    return alike.argsort(stable=True)[: max(1, round(share * len(texts)))]
