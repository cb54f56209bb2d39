from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from outfield.errors import UserError
from outfield.models.clip import towers_of
from outfield.models.towers import ZeroShot


class Clip(ZeroShot):
    """A pair of towers for pictures and texts with the head that names of classes give: what is tuned from there.

    Parameters
    ----------
    classes : int
        C, the width of the head.
    names : sequence of str
        The names of the classes; in a study those of the training set.
    path : str
        ``mini``, or a folder or name of a CLIP of transformers.
    prompt : str
        With ``{}`` where the name stands.
    channels : int
        Channels of the pictures: 1 (grey, which is repeated) or 3 (colour).

    Raises
    ------
    UserError
        The names are not as many as the classes; no such model.

    Examples
    --------
    >>> import torch
    >>> Clip(classes=2, names=("red circle", "blue square"))(torch.rand(3, 3, 24, 24)).shape
    torch.Size([3, 2])
    """

    def __init__(
        self,
        classes: int,
        names: Sequence[str] = (),
        path: str = "mini",
        prompt: str = "a photo of a {}",
        channels: int = 3,
    ) -> None:
        if len(names) != classes:
            raise UserError(
                f"Expected the names of {classes} classes for their texts, but got {len(names)}. "
                "Take data whose classes have names, or give them: `network: {name: clip, names: [...]}`."
            )
        super().__init__(towers_of(path), names, prompt)
        self.channels = channels

    def forward(self, x: Any) -> Any:
        return super().forward(x.expand(-1, 3, -1, -1) if self.channels == 1 else x)
