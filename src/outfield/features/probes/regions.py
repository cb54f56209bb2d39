from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from outfield.errors import UserError
from outfield.features.probes.base import Probe
from outfield.models.base import Bilingual, Model
from outfield.types import Outputs


@dataclass(frozen=True)
class Regions(Probe):
    """Embeddings of a picture's regions, where a model of pictures and texts embeds the whole: [n, regions, D].

    Raises
    ------
    UserError
        The model embeds no regions.
    """

    passes: ClassVar[int] = 1
    forwards: ClassVar[int] = 1

    def __call__(self, model: Model, x: Tensor, first: Outputs) -> dict[str, Tensor]:
        if not isinstance(model, Bilingual):
            raise UserError(
                f"Expected a model that embeds regions of pictures, but {model.name!r} does not. "
                "Open a CLIP: clip:mini."
            )
        return {self.key: model.regions(x).detach().float()}
