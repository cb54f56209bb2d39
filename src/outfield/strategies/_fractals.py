"""Fractals to mix into pictures: attractors of random iterated function systems."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

COUNT = 64
"""Fractals in a set."""
MAPS, CHAINS, BURN_IN, STEPS = 4, 128, 20, 80


@lru_cache(maxsize=4)
def fractals(height: int, width: int, channels: int) -> Tensor:
    """The set of pictures [COUNT, channels, height, width] in [0, 1]: one fixed set for each size.

    Each system has four affine maps that shrink by 0.4 to 0.9; its points, drawn by applying a random map over and
    over, are counted a pixel; logarithms of the counts give the brightness, a random colour the channels.
    """
    chance = torch.Generator().manual_seed(20_221)
    points = _points(*_systems(chance), chance)
    logarithms = torch.stack([_counts(cloud, height, width) for cloud in points]).log1p()
    brightness: Tensor = logarithms / logarithms.amax((1, 2), keepdim=True)
    colour = 0.3 + 0.7 * torch.rand(COUNT, channels, 1, 1, generator=chance)
    coloured: Tensor = brightness[:, None] * (colour if channels > 1 else torch.ones_like(colour))
    return coloured


def _systems(chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Linear parts [COUNT, MAPS, 2, 2] of known singular values, and offsets [COUNT, MAPS, 2]."""
    first, second = (2 * torch.pi * torch.rand(COUNT, MAPS, generator=chance) for _ in range(2))
    shrink = 0.4 + 0.5 * torch.rand(COUNT, MAPS, 2, generator=chance)
    linear = _rotation(first) @ torch.diag_embed(shrink) @ _rotation(second)
    return linear, 2 * torch.rand(COUNT, MAPS, 2, generator=chance) - 1


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)


def _points(linear: Tensor, offset: Tensor, chance: torch.Generator) -> Tensor:
    system = torch.arange(COUNT)[:, None]
    place, visited = torch.zeros(COUNT, CHAINS, 2), []
    for step in range(BURN_IN + STEPS):
        chosen = torch.randint(MAPS, (COUNT, CHAINS), generator=chance)
        place = (linear[system, chosen] @ place[..., None]).squeeze(-1) + offset[system, chosen]
        if step >= BURN_IN:
            visited.append(place)
    return torch.cat(visited, dim=1)


def _counts(cloud: Tensor, height: int, width: int) -> Tensor:
    low, high = cloud.amin(0), cloud.amax(0)
    cell = ((cloud - low) / (high - low).clamp(min=1e-6) * 0.999 * torch.tensor([height, width])).long()
    return torch.bincount(cell[:, 0] * width + cell[:, 1], minlength=height * width).view(height, width).float()
