"""Changes of pictures [n, C, H, W] in [0, 1] that several strategies share, each picture drawn on its own.

An operation takes pictures and strengths [n] in [-1, 1]; strength 0 leaves the picture (nearly) as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

Operation: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def per_picture(values: Tensor) -> Tensor:
    """Values [n] in the shape that multiplies pictures."""
    return values.view(-1, 1, 1, 1)


def shifted(x: Tensor, pixels: int) -> Tensor:
    """Each picture moved by up to ``pixels`` along each axis; zeros move in."""
    if pixels == 0:
        return x
    n, channels, height, width = x.shape
    padded = functional.pad(x, (pixels,) * 4)
    down, right = torch.randint(2 * pixels + 1, (2, n, 1), device=x.device)
    rows = (down + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (right + torch.arange(width, device=x.device))[:, None, None, :]
    picture = torch.arange(n, device=x.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=x.device).view(1, -1, 1, 1)
    return padded[picture, channel, rows, columns]


def mirrored(x: Tensor) -> Tensor:
    """Half of the pictures, left to right."""
    return torch.where(per_picture(torch.rand(len(x), device=x.device)) < 0.5, x.flip(3), x)


def zoomed(x: Tensor, smallest: float) -> Tensor:
    """A random part of each picture, ``smallest`` to 1 of its side, at the picture's size."""
    side = smallest + (1 - smallest) * torch.rand(len(x), device=x.device)
    centre = (1 - side)[:, None] * (2 * torch.rand(len(x), 2, device=x.device) - 1)
    return _warped(x, torch.cat([torch.diag_embed(torch.stack([side, side], 1)), centre[:, :, None]], dim=2))


def erased(x: Tensor, probability: float) -> Tensor:
    """Some pictures with a box of noise in them: random erasing [1].

    [1] Zhong, Zheng, Kang, Li, Yang. Random Erasing Data Augmentation. AAAI 2020.
    """
    chosen = per_picture(torch.rand(len(x), device=x.device)) < probability
    share = torch.empty(len(x), device=x.device).uniform_(0.02, 0.33)
    return torch.where(chosen & boxes(x, share), torch.rand_like(x), x)


def boxes(x: Tensor, share: Tensor) -> Tensor:
    """A square at a random place of each picture, ``share`` [n] of its area, cut at the border: bool [n, 1, H, W]."""
    inside = [_interval(size, share.sqrt()) for size in x.shape[2:]]
    return inside[0][:, None, :, None] & inside[1][:, None, None, :]


def _interval(size: int, share: Tensor) -> Tensor:
    centre = torch.rand(len(share), 1, device=share.device) * size
    place = torch.arange(size, device=share.device) + 0.5
    return (place - centre).abs() < share[:, None] * size / 2


def one_of(operations: tuple[Operation, ...], x: Tensor, strengths: Tensor) -> Tensor:
    """Each picture changed by one operation, drawn with equal chances."""
    which = torch.randint(len(operations), (len(x),), device=x.device)
    changed = x.clone()
    for number, operation in enumerate(operations):
        rows = which == number
        if rows.any():
            changed[rows] = operation(x[rows], strengths[rows])
    return changed.clamp(0, 1)


def random_strengths(x: Tensor) -> Tensor:
    """Uniform on [-1, 1], one a picture."""
    return 2 * torch.rand(len(x), device=x.device) - 1


def rotate(x: Tensor, strength: Tensor) -> Tensor:
    """By up to 30 degrees."""
    angle = strength * torch.pi / 6
    cos, sin = angle.cos(), angle.sin()
    return _affine(x, cos, -sin, sin, cos)


def shear_x(x: Tensor, strength: Tensor) -> Tensor:
    """Rows moved against each other, by up to 0.3 of their distance."""
    one = torch.ones_like(strength)
    return _affine(x, one, 0.3 * strength, 0 * one, one)


def shear_y(x: Tensor, strength: Tensor) -> Tensor:
    """Columns moved against each other, by up to 0.3 of their distance."""
    one = torch.ones_like(strength)
    return _affine(x, one, 0 * one, 0.3 * strength, one)


def translate_x(x: Tensor, strength: Tensor) -> Tensor:
    """By up to 0.2 of the width."""
    return _moved(x, 0.4 * strength, 0 * strength)


def translate_y(x: Tensor, strength: Tensor) -> Tensor:
    """By up to 0.2 of the height."""
    return _moved(x, 0 * strength, 0.4 * strength)


def brightness(x: Tensor, strength: Tensor) -> Tensor:
    """Values times 0.2 to 1.8."""
    return x * (1 + 0.8 * per_picture(strength))


def contrast(x: Tensor, strength: Tensor) -> Tensor:
    """Distances from the picture's mean times 0.2 to 1.8."""
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + (x - mean) * (1 + 0.8 * per_picture(strength))


def sharpness(x: Tensor, strength: Tensor) -> Tensor:
    """Towards the mean of the neighbourhood (below 0), or away from it."""
    smooth = functional.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return x + per_picture(strength) * (x - smooth)


def posterize(x: Tensor, strength: Tensor) -> Tensor:
    """Values rounded to 2 to 16 levels."""
    steps = per_picture((15 - 14 * strength.abs()).round())
    return (x * steps).round() / steps


def solarize(x: Tensor, strength: Tensor) -> Tensor:
    """Values above a threshold inverted."""
    return torch.where(x > per_picture(1 - strength.abs()), 1 - x, x)


def identity(x: Tensor, _strength: Tensor) -> Tensor:
    """No change."""
    return x


GEOMETRIC: tuple[Operation, ...] = (rotate, shear_x, shear_y, translate_x, translate_y)
PHOTOMETRIC: tuple[Operation, ...] = (brightness, contrast, sharpness, posterize, solarize)
ALL: tuple[Operation, ...] = (identity, *GEOMETRIC, *PHOTOMETRIC)


def _moved(x: Tensor, right: Tensor, down: Tensor) -> Tensor:
    one, zero = torch.ones_like(right), torch.zeros_like(right)
    return _warped(x, torch.stack([torch.stack([one, zero, right], 1), torch.stack([zero, one, down], 1)], 1))


def _affine(x: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    zero = torch.zeros_like(a)
    return _warped(x, torch.stack([torch.stack([a, b, zero], 1), torch.stack([c, d, zero], 1)], 1))


def _warped(x: Tensor, matrices: Tensor) -> Tensor:
    grid = functional.affine_grid(matrices, list(x.shape), align_corners=False)
    return functional.grid_sample(x, grid, align_corners=False)
