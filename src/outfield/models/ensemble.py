"""Several networks as one model: their mean distribution, and each one's logits for whoever asks."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor

from outfield import keys
from outfield.data.base import Items
from outfield.errors import UserError
from outfield.models.base import Model
from outfield.types import Head, Outputs


class Ensemble:
    """A deep ensemble: logits are the logarithm of the members' mean softmax, features are theirs side by side [1].

    It has no head and no layers. The probe ``passes`` with ``source="model"`` reads the members' own logits.

    Parameters
    ----------
    members : sequence of Model
        At least two, of the same classes and the same preprocessing, which is the first's.
    name : str

    Raises
    ------
    UserError
        Fewer than two; members that give no logits.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from outfield.models.sklearn import SklearnModel
    >>> x = np.eye(4)
    >>> members = [SklearnModel(LogisticRegression(C=c).fit(x, [0, 1, 0, 1])) for c in (1.0, 10.0)]
    >>> ensemble = Ensemble(members)
    >>> ensemble.forward(ensemble.prepare(x))
    Outputs(logits [4, 2], features [4, 8])

    References
    ----------
    [1] Lakshminarayanan, Pritzel, Blundell. Simple and Scalable Predictive Uncertainty Estimation using Deep Ensembles.
        NeurIPS 2017.
    """

    head: Head | None = None
    layers: tuple[str, ...] = ()

    def __init__(self, members: Sequence[Model], name: str = "ensemble") -> None:
        if len(members) < 2:
            raise UserError(f"Expected at least two members of an ensemble, but got {len(members)}. Pass more models.")
        if bare := [one.name for one in members if "logits" not in one.offers]:
            raise UserError(f"Expected members that give logits, but {', '.join(bare)} do not. Pass classifiers.")
        self.members, self.name = tuple(members), name

    def __repr__(self) -> str:
        return f"Ensemble({self.name!r}, {len(self.members)} members, no linear head)"

    @property
    def forwards(self) -> int:
        """Inputs of all forward passes of all members so far."""
        return sum(member.forwards for member in self.members)

    @property
    def offers(self) -> frozenset[str]:
        return frozenset.intersection(*(member.offers for member in self.members)) & _OFFERED

    @property
    def classes(self) -> tuple[str, ...] | None:
        return self.members[0].classes

    @property
    def input_std(self) -> Tensor:
        return self.members[0].input_std

    @property
    def input_mean(self) -> Tensor:
        first: Any = self.members[0]
        mean: Tensor = first.input_mean
        return mean

    def prepare(self, batch: Items) -> Tensor:
        return self.members[0].prepare(batch)

    def forward(self, x: Tensor, layers: Sequence[str] = ()) -> Outputs:
        """Each member's forward pass, put together."""
        found = [member.forward(x) for member in self.members]
        logs = torch.stack([torch.log_softmax(out.logits, dim=1) for out in found])
        features = torch.cat([out.features for out in found], dim=1) if "features" in self.offers else None
        return Outputs(logs.logsumexp(0) - math.log(len(found)), features)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        with ExitStack() as stack:
            for member in self.members:
                stack.enter_context(member.evaluating())
            yield

    def digest(self) -> str:
        return keys.key(members=[member.digest() for member in self.members])


_OFFERED = {"logits", "features", "gradients"}
