from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.banks import Bank
from outfield.features.fit_data import FitData
from outfield.features.folds import Fold
from outfield.features.row_chunks import in_pieces
from outfield.types import Outputs, State


@dataclass(frozen=True)
class IsolationForest(Detector):
    """Isolation forest on the features, ``2^(-E h(f) / c)``: rows that few random cuts set apart are outliers [1].

    ``h`` is the depth of the leaf that a row falls into, and the mean depth still to come for the rows that were left
    there; ``c`` is the mean depth of a tree of as many rows as each was grown on. Fitted by scikit-learn; its trees are
    kept as arrays.

    Parameters
    ----------
    trees : int
    rows : int
        Training rows that each tree is grown on.
    limit : int
        Most training rows that these are drawn from.
    seed : int

    Examples
    --------
    >>> train = Outputs(features=torch.linspace(-1, 1, 40)[:, None])
    >>> forest = IsolationForest(trees=20)
    >>> near, far = forest.score(Outputs(features=torch.tensor([[0.0], [3.0]])), forest.fit(FitData.of(train)))
    >>> bool(near < far < 1)
    True

    References
    ----------
    [1] Liu, Ting, Zhou. Isolation Forest. ICDM 2008.
    """

    trees: int = 100
    rows: int = 256
    limit: int = 10_000
    seed: int = 0

    title: ClassVar[str] = "Isolation forest"
    needs: ClassVar[frozenset[str]] = frozenset({"features"})
    information: ClassVar[str] = "features"
    by_default: ClassVar[bool] = False
    fits_on: ClassVar[frozenset[str]] = frozenset({"train"})
    grid: ClassVar[Mapping[str, tuple[Any, ...]]] = {"rows": (128, 256, 512)}
    bounds: ClassVar[Mapping[str, tuple[float, float]]] = {
        "trees": (1, 1e5),
        "rows": (2, 1e6),
        "limit": (2, 1e7),
        "seed": (0, 2**31),
    }

    def folds(self) -> tuple[Fold[Any, Any], ...]:
        return (Bank(("features",), limit=self.limit, seed=self.seed),)

    def fit(self, data: FitData) -> State:
        from sklearn.ensemble import IsolationForest as Fitted

        (bank,) = self.folds()
        features = data.fold(bank)["features"]
        drawn = min(self.rows, len(features))
        forest = Fitted(n_estimators=self.trees, max_samples=drawn, random_state=self.seed)
        grown = [one.tree_ for one in forest.fit(features.float().cpu().numpy()).estimators_]
        nodes = max(tree.node_count for tree in grown)
        parts = [_arrays(tree, nodes) for tree in grown]
        state = {name: torch.from_numpy(np.stack([part[name] for part in parts])) for name in parts[0]}
        usual = torch.from_numpy(_mean_depth(np.array([drawn])))
        return {name: values.to(features.device) for name, values in {**state, "usual": usual}.items()}

    def score(self, out: Outputs, state: State) -> Tensor:
        levels = (self.rows - 1).bit_length()
        width = 4 * len(state["column"])
        depth = in_pieces(lambda rows: _depths(rows, state, levels).mean(0), width, out.features)
        return torch.exp(-math.log(2) * depth / state["usual"].clamp(min=1e-12))


def _arrays(tree: Any, nodes: int) -> dict[str, Any]:
    """One tree as arrays of ``nodes`` places: a leaf leads to itself, and knows the depth of what falls into it."""
    leaf = tree.children_left < 0
    itself = np.arange(tree.node_count)
    left, right = (np.where(leaf, itself, child) for child in (tree.children_left, tree.children_right))
    depth = np.zeros(tree.node_count)
    for node in itself[~leaf]:
        depth[[left[node], right[node]]] = depth[node] + 1
    arrays = {
        "column": np.where(leaf, 0, tree.feature),
        "cut": np.where(leaf, 0.0, tree.threshold),
        "left": left,
        "right": right,
        "depth": depth + np.where(leaf, _mean_depth(tree.n_node_samples), 0.0),
    }
    return {name: np.pad(values, (0, nodes - tree.node_count)) for name, values in arrays.items()}


def _mean_depth(rows: Any) -> Any:
    """Mean depth of an unsuccessful search in a tree of so many rows, ``2 H(n - 1) - 2 (n - 1) / n``."""
    safe = np.maximum(rows, 3)
    deep = 2 * (np.log(safe - 1.0) + np.euler_gamma) - 2 * (safe - 1.0) / safe
    return np.where(rows > 2, deep, np.where(rows == 2, 1.0, 0.0))


def _depths(rows: Tensor, state: State, levels: int) -> Tensor:
    """Depth of each row in each tree of at most so many levels, [trees, n]."""
    values = rows.double().T
    node = torch.zeros_like(values[:1], dtype=torch.int64).expand(len(state["column"]), -1)
    for _ in range(levels):
        below = values.gather(0, state["column"].gather(1, node)) <= state["cut"].gather(1, node)
        node = torch.where(below, state["left"].gather(1, node), state["right"].gather(1, node))
    return state["depth"].gather(1, node)
