from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from outfield.detectors.base import Detector
from outfield.features.probes.base import Probe
from outfield.features.probes.groups import Groups
from outfield.types import Outputs, State


@dataclass(frozen=True)
class MOS(Detector):
    """Minimum *others* score: the least probability over groups that an input is of none of the group's classes [1].

    ``min_g 1 / (1 + sum_{c in g} exp z_c)``, in logs, ``-max_g logsumexp_{c in g} z_c``: for networks of the strategy
    ``mos``, whose logits are log odds of a class against the others of its group, and which keep the groups (probe
    ``groups``). Of any other network all classes are one group, and the score is the energy.

    Examples
    --------
    >>> detector = MOS()
    >>> (probe,) = detector.probes()
    >>> out = Outputs(torch.tensor([[2.0, 2.0, 0.0]]), layers={probe.key: torch.tensor([[0, 0, 1]])})
    >>> detector.score(out, {}).sigmoid()  # 1 / (1 + 2 exp 2)
    tensor([0.0634])

    References
    ----------
    [1] Huang, Li. MOS: Towards Scaling Out-of-distribution Detection for Large Semantic Space. CVPR 2021.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"logits", "groups"})
    information: ClassVar[str] = "outputs"
    by_default: ClassVar[bool] = False
    modality: ClassVar[frozenset[str]] = frozenset({"any"})

    def probes(self) -> tuple[Probe, ...]:
        return (Groups(),)

    def score(self, out: Outputs, state: State) -> Tensor:
        (probe,) = self.probes()
        (groups,) = probe.values(out).values()
        largest = out.logits.amax(1, keepdim=True)
        sums = torch.zeros_like(out.logits).scatter_add(1, groups.long(), (out.logits - largest).exp())
        return -(largest[:, 0] + sums.amax(1).log())
