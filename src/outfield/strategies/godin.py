from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from outfield.strategies._parts import lift_of
from outfield.strategies.abet import AbeT
from outfield.strategies.base import learned


@dataclass(frozen=True)
class GODIN(AbeT):
    """Generalised ODIN with cosines: logits ``h_c / g`` of ``h_c = cos(f, w_c)`` and ``g = sigmoid(BN(v f + a))`` [1].

    As ``abet``, but h is without weight decay. The paper's score ``-max_c h_c`` is the detector ``cosine`` of the
    finished network; its step on the input is left out.

    Examples
    --------
    >>> from outfield.tasks.classify import Classify
    >>> network = GODIN(weight_decay=0.1).network(lambda: nn.Linear(3, 2), Classify(classes=2))
    >>> [group["weight_decay"] for group in GODIN(weight_decay=0.1).optimizer(network).param_groups]
    [0.1, 0.0]

    References
    ----------
    [1] Hsu, Shen, Jin, Kira. Generalized ODIN: Detecting Out-of-distribution Image without Learning from
    Out-of-distribution Data. CVPR 2020.
    """

    def optimizer(self, network: nn.Module) -> Optimizer | Mapping[str, Optimizer]:
        similarity = lift_of(network).linear.weight
        rest = [weight for weight in learned(network) if weight is not similarity]
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": [similarity], "weight_decay": 0.0}]
        return torch.optim.SGD(groups, lr=self.learning_rate, momentum=self.momentum, weight_decay=self.weight_decay)
