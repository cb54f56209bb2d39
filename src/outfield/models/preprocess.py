"""From the items of a data set to the input of a model: size, channels, scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from outfield.data.base import Batch
from outfield.errors import UserError


@dataclass(frozen=True)
class Pictures:
    """Pictures to a normalised tensor [n, C, side, side].

    Parameters
    ----------
    side : int, optional
        Resize the shorter edge to ``side / crop`` and cut the centre; None leaves the size as it is.
    channels : int, optional
        1 (grey, ITU-R 601 luma) or 3; None leaves them as they are.
    mean, std : per channel, on values in [0, 1]; one number serves all channels
    crop : float
        Share of the shorter edge that the centre crop keeps.
    interpolation : {"bilinear", "bicubic", "nearest"}
        With anti-aliasing, as Pillow does it.

    Raises
    ------
    UserError
        Pictures of several sizes and no ``side``.

    Examples
    --------
    >>> Pictures(mean=(0.5,), std=(0.5,))(np.full((1, 2, 2, 1), 255, np.uint8)).flatten()
    tensor([1., 1., 1., 1.])
    """

    side: int | None = None
    channels: int | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    crop: float = 1.0
    interpolation: str = "bilinear"

    def __call__(self, batch: Batch) -> Tensor:
        pictures = torch.from_numpy(_stacked([self._sized(self._channelled(p)) for p in batch], self.side))
        scaled = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures
        return (scaled.permute(0, 3, 1, 2) - _column(self.mean)) / _column(self.std)

    @property
    def scale(self) -> Tensor:
        """``std``, shaped to divide one input [C, H, W]."""
        return _column(self.std)

    def _channelled(self, picture: NDArray[Any]) -> NDArray[Any]:
        if self.channels is None or picture.shape[2] == self.channels:
            return picture
        if self.channels == 3:
            return np.repeat(picture[:, :, :1], 3, axis=2)
        luma = picture[:, :, :3] @ np.array([0.299, 0.587, 0.114], np.float32)
        return (np.rint(luma) if picture.dtype == np.uint8 else luma).astype(picture.dtype)[:, :, None]

    def _sized(self, picture: NDArray[Any]) -> NDArray[Any]:
        height, width = picture.shape[:2]
        if self.side is None or height == width == self.side:
            return picture
        factor = self.side / self.crop / min(height, width)
        size = (max(round(width * factor), self.side), max(round(height * factor), self.side))
        return _centre(_resized(picture, size, self.interpolation), self.side)


def _column(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None, None]


def _resized(picture: NDArray[Any], size: tuple[int, int], interpolation: str) -> NDArray[Any]:
    method = Image.Resampling[interpolation.upper()]
    if picture.dtype == np.uint8:
        image = Image.fromarray(picture.squeeze(2) if picture.shape[2] == 1 else picture)
        return np.asarray(image.resize(size, method)).reshape(size[1], size[0], -1)
    planes = [np.asarray(Image.fromarray(plane).resize(size, method)) for plane in np.moveaxis(picture, 2, 0)]
    return np.stack(planes, axis=2)


def _centre(picture: NDArray[Any], side: int) -> NDArray[Any]:
    top, left = ((edge - side) // 2 for edge in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def _stacked(pictures: Sequence[NDArray[Any]], side: int | None) -> NDArray[Any]:
    shapes = {picture.shape for picture in pictures}
    if len(shapes) > 1:
        raise UserError(
            f"Expected pictures of one shape, but got {', '.join(map(str, sorted(shapes)[:3]))}. "
            + ("Give the model a `side` to resize to." if side is None else "Give the model its number of `channels`.")
        )
    return np.stack(pictures) if len(pictures) else np.zeros((0, side or 1, side or 1, 1), np.float32)
