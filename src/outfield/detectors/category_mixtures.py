from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from outfield.detectors._gaussian import squares
from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.moments import Moments, whitener
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class CategoryMixtures(Detector):
    """Nearest Gaussian mixture of a class, ``min_c -2 log sum_k pi_ck exp(-d_ck^2 / 2)``, d being Mahalanobis [1].

    Components of a class are the k-means clusters of its features, whitened by the within-class covariance; all share
    one covariance, that about the components. One component is ``mds``. The paper learns attributes for components with
    the network (strategy ``category_mixtures``); here they are found in any network's features. Float64.

    Parameters
    ----------
    components : int
        Of a class, and at most its rows.
    limit : int
        Rows that components are found in.
    seed : int

    Examples
    --------
    >>> train = Outputs(logits=torch.zeros(8, 2), labels=torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]),
    ...     features=torch.tensor([[-9.0], [-11.0], [9.0], [11.0], [29.0], [31.0], [49.0], [51.0]]))
    >>> detector = CategoryMixtures(components=2)
    >>> scores = detector.score(Outputs(features=torch.tensor([[10.0], [0.0]])), detector.fit(FitData.of(train)))
    >>> [abs(round(float(score), 2)) for score in scores - 2 * torch.tensor(2.0).log()]  # pi is 1/2
    [0.0, 98.61]

    References
    ----------
    [1] Li, Zhou, Guo, Sun, Huang, Ge, Zhang. Hierarchical Visual Categories Modeling: A Joint Representation Learning
    and
        Density Estimation Framework for Out-of-Distribution Detection. ICCV 2023.
    """

    components: int = 2
    limit: int = 50_000
    seed: int = 0

    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    fits_with: ClassVar[frozenset[str]] = frozenset({"classes"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"components": (1, 2, 4)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "components": (1, 1000),
        "limit": (2, 10**9),
        "seed": (0, 2**31),
    }

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Moments(), *([self._bank()] if self.components > 1 else []))

    def _bank(self) -> Bank:
        return Bank(("features", "labels"), limit=self.limit, seed=self.seed)

    def fit(self, data: FitData) -> State:
        first, means = data.moments.within_whitener, data.moments.whitened_means
        if self.components == 1:
            return {"whitener": first, "centres": means, "logs": torch.zeros(len(means), 1).to(means)}
        rows = data.fold(self._bank()).outputs()
        whitened = rows.features.double() @ first
        parts = [self._components(whitened[rows.labels == label], mean) for label, mean in enumerate(means)]
        away = torch.cat([one for _, _, one in parts])
        second = whitener(away.T @ away / len(away))
        centres = torch.cat([centre for centre, _, _ in parts]) @ second
        logs = torch.stack([weight for _, weight, _ in parts])
        return {"whitener": first @ second, "centres": centres, "logs": logs}

    def _components(self, rows: Tensor, mean: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Centres [K, D] of a class, the logs of their weights [K], and the rows less their centre."""
        if len(rows) < self.components:
            centres = mean.expand(self.components, -1)
            return centres, torch.full_like(centres[:, 0], 1 / self.components).log(), rows - mean
        from sklearn.cluster import KMeans

        found = KMeans(self.components, n_init=5, random_state=self.seed).fit(rows.cpu().numpy())
        centres = torch.from_numpy(found.cluster_centers_).to(rows)
        labels = torch.from_numpy(found.labels_).long().to(rows.device)
        counts = torch.bincount(labels, minlength=self.components).double()
        return centres, (counts / len(rows)).log(), rows - centres[labels]

    def score(self, out: Outputs, state: State) -> Tensor:
        whitener, centres, logs = (state[name] for name in ("whitener", "centres", "logs"))

        def nearest(rows: Tensor) -> Tensor:
            away = squares(rows.double() @ whitener, centres).unflatten(1, logs.shape)
            scores: Tensor = (-2 * (logs - away / 2).logsumexp(2)).amin(1)
            return scores

        return in_pieces(nearest, len(whitener) + 3 * len(centres), out.features)
