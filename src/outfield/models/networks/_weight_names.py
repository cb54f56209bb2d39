"""Weights as they were published, under the names that a network of outfield gives them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

_COUNTERS = "num_batches_tracked"


def renamed(weights: Mapping[str, Any], names: Mapping[str, str | None]) -> dict[str, Any]:
    """Weights with every pattern of ``names`` replaced in their names, one after the other; None drops what matches.

    Raises
    ------
    re.error
        A pattern is no regular expression.

    Examples
    --------
    >>> renamed({"model.fc.bias": 1, "optimizer": 2}, {r"^optimizer": None, r"^model\\.": "", r"^fc": "head"})
    {'head.bias': 1}
    """
    for pattern, new in names.items():
        found = re.compile(pattern)
        kept = weights if new is not None else [name for name in weights if not found.search(name)]
        weights = {found.sub(new or "", name) if new is not None else name: weights[name] for name in kept}
    return dict(weights)


def under_own_names(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights that were published for a network, under its own names.

    Counts of training batches, which older files lack and evaluation does not read, are added where they are absent.
    """
    named = renamed(weights, getattr(network, "published", {}))
    counters = {name: value for name, value in network.state_dict().items() if name.endswith(_COUNTERS)}
    return counters | named
