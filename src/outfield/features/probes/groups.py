from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from outfield.features.probes.base import Probe
from outfield.models.base import Model
from outfield.types import Outputs


@dataclass(frozen=True)
class Groups(Probe):
    """The group of each class, [n, C], as the strategy ``mos`` leaves them in its network [1]; else one group.

    Examples
    --------
    >>> Groups().key
    'groups()'

    References
    ----------
    [1] Huang, Li. MOS: Towards Scaling Out-of-distribution Detection for Large Semantic Space. CVPR 2021.
    """

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        n, classes = first.logits.shape
        module = getattr(model, "module", None)
        named = {} if module is None else dict(module.named_buffers())
        kept = [one for name, one in named.items() if name.rpartition(".")[2] == "groups" and one.shape == (classes,)]
        groups = kept[-1] if kept else torch.zeros(classes, dtype=torch.long)
        return {self.key: groups.to(first.logits).expand(n, -1)}
