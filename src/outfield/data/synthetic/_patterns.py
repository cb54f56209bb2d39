"""Patterns that several synthetic unit tests share: sizes, wrap-around blur, colours, stretching, bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

Picture = NDArray[np.float32]
Values = NDArray[np.floating[Any]]


def blur(values: Values, sigmas: Sequence[float], rng: np.random.Generator) -> Values:
    """Gaussian blur, wrapping around, with one of ``sigmas`` (pixels at a side of 224) times max(side / 224, 1/7)."""
    blurred: Values = scipy.ndimage.gaussian_filter(values, _sigma(len(values), sigmas, rng), mode="wrap", axes=(0, 1))
    return blurred


def low_frequencies(shape: tuple[int, int, int], rng: np.random.Generator, axis: tuple[int, ...] | None) -> Values:
    """Uniform noise, blurred until only its low frequencies are left, stretched to [0, 1] over ``axis``.

    Blurred in the Fourier domain, about the mean, so that what is left of a blur wider than the picture is no rounding.
    """
    noise = rng.random(shape)
    spectrum = np.fft.fft2(noise - noise.mean(axis, keepdims=True), axes=(0, 1))
    sigma = _sigma(len(noise), (10, 15, 25, 40, 60, 85), rng)
    return _stretched(np.fft.ifft2(scipy.ndimage.fourier_gaussian(spectrum, (sigma, sigma, 0)), axes=(0, 1)).real, axis)


def _sigma(side: int, sigmas: Sequence[float], rng: np.random.Generator) -> float:
    return float(rng.choice(sigmas)) * max(side / 224, 1 / 7)


def _stretched(values: Values, axis: tuple[int, ...] | None = None) -> Values:
    low, high = values.min(axis, keepdims=True), values.max(axis, keepdims=True)
    scaled: Values = (values - low) / np.where(high > low, high - low, 1)
    return scaled


def plain(side: int, colour: Values) -> Picture:
    """One colour all over."""
    return np.broadcast_to(colour, (side, side, len(colour))).astype(np.float32)


def permuted(picture: Picture, rng: np.random.Generator) -> Picture:
    """The same pixels in a random order, the channels of a pixel together."""
    height, width, channels = picture.shape
    shuffled: Picture = rng.permutation(picture.reshape(-1, channels)).reshape(height, width, channels)
    return shuffled


def three_bands(side: int, colours: Values, rng: np.random.Generator) -> Picture:
    """Three bands of equal width, one for each row of ``colours`` [3, C], across a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    down, along = np.mgrid[:side, :side]
    place: Values = _stretched(np.cos(angle) * along + np.sin(angle) * down)
    bands: Picture = colours[np.minimum((place * 3).astype(int), 2)].astype(np.float32)
    return bands


def stripes(side: int, channels: int, rng: np.random.Generator) -> Picture:
    """Rows of bands, each of a random colour: 4, 5, 7, 10, 15 or 20 of them, at most half as many as pixels."""
    allowed = [bands for bands in (4, 5, 7, 10, 15, 20) if bands <= side / 2] or [max(1, side // 2)]
    bands = rng.choice(allowed)
    colours = rng.random((bands, 1, channels))
    rows = colours[np.arange(side) * bands // side]
    return np.broadcast_to(rows, (side, side, channels)).astype(np.float32)
