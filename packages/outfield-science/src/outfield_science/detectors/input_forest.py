from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import ensemble
from torch import Tensor

from outfield.types import State
from outfield_science.detectors._one_class import OneClassMethod


@dataclass(frozen=True)
class InputForest(OneClassMethod):
    """Isolation forest on the inputs, ``2^(-E[h(z)] / c(m))``: what random splits set apart early lies outside [1].

    ``h`` is the depth of the leaf, plus what a tree of its training inputs would add; the trees are scikit-learn's.

    Parameters
    ----------
    trees : int
    samples : int
        Training inputs m of each tree.

    References
    ----------
    [1] Liu, Ting, Zhou. Isolation Forest. ICDM 2008.
    """

    trees: int = 100
    samples: int = 256

    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        **OneClassMethod.bounds,
        "trees": (1, 1e6),
        "samples": (2, 1e9),
    }

    def learned(self, z: Tensor) -> State:
        m = min(self.samples, len(z))
        forest = ensemble.IsolationForest(n_estimators=self.trees, max_samples=m, random_state=self.seed)
        trees = [estimator.tree_ for estimator in forest.fit(z.float().cpu().numpy()).estimators_]
        size = max(tree.node_count for tree in trees)
        found = [dict(_nodes(tree, size)) for tree in trees]
        state = {name: torch.from_numpy(np.stack([one[name] for one in found])).to(z.device) for name in found[0]}
        return state | {"usual": torch.from_numpy(_path(np.array([m]))).to(z.device)}

    def outlyingness(self, z: Tensor, state: State) -> Tensor:
        left, right, feature, threshold = (state[name] for name in ("left", "right", "feature", "threshold"))
        tree, z = torch.arange(len(left), device=z.device), z.float()
        node = torch.zeros(len(z), len(left), dtype=torch.int64, device=z.device)
        while bool((left[tree, node] != node).any()):
            below = z.gather(1, feature[tree, node]).double() <= threshold[tree, node]
            node = torch.where(below, left[tree, node], right[tree, node])
        return torch.exp2(-state["path"][tree, node].mean(1) / state["usual"])


def _nodes(tree: Any, size: int) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays of a tree, as long as those of the largest; a leaf leads to itself."""
    itself, count = np.arange(size), tree.node_count
    leaf = tree.children_left < 0
    depth = np.zeros(count)
    for node in np.flatnonzero(~leaf):
        depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
    for name, values, leads in (
        ("left", tree.children_left, itself),
        ("right", tree.children_right, itself),
        ("feature", tree.feature, np.zeros(size, int)),
        ("threshold", tree.threshold, np.zeros(size)),
    ):
        padded = leads.copy()
        padded[:count] = np.where(leaf, padded[:count], values)
        yield name, padded
    yield "path", np.pad(depth + _path(tree.n_node_samples), (0, size - count))


def _path(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Mean depth ``c(n)`` of an unsuccessful search in a binary tree of n items."""
    n = np.maximum(samples.astype(np.float64), 2.0)
    found = 2 * (np.log(np.maximum(n - 1, 1.0)) + np.euler_gamma) - 2 * (n - 1) / n
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, found))
