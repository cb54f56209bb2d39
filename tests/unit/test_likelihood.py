"""Likelihood of inputs: the density by hand, its corrections, and where plain likelihood fails."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.stats import norm
from torch import Tensor

from outfield.data.sources.photos import Photos
from outfield.detectors._flow import RealNVP
from outfield.detectors.likelihood import Likelihood, code_lengths
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.types import Outputs, State
from tests.support_inputs import auroc


@cache
def patches(seed: int) -> Tensor:
    """Grey patches of 8 x 8 pixels of a photo."""
    return torch.tensor(
        Photos("china", 600, side=8, detail=8, seed=seed).load().read(slice(None))[:, None, ..., 0] / 255
    ).float()


@cache
def fitted(correction: str) -> State:
    return Likelihood(correction=correction).fit(FitData.of(Outputs(inputs=patches(0))))  # type: ignore[arg-type]


def against(simple: Tensor, correction: str) -> float:
    ours, theirs = (
        Likelihood(correction=correction).score(Outputs(inputs=x), fitted(correction))  # type: ignore[arg-type]
        for x in (patches(1), simple)
    )
    return auroc(ours, theirs)


def test_the_score_is_that_of_a_normal_behind_the_flow() -> None:
    state, x = fitted("none"), patches(1)[:30]
    flow = RealNVP(64, 6, 128).requires_grad_(False)
    start = "network.flow."
    flow.load_state_dict({name.removeprefix(start): v for name, v in state.items() if name.startswith(start)})
    z, volume = flow((x - state["mean"]) / state["scale"])
    expected = norm.logpdf(z.numpy()).sum(1) + volume.numpy() - 64 * float(state["scale"].log())
    np.testing.assert_allclose(Likelihood().score(Outputs(inputs=x), state), -expected, rtol=1e-4, atol=1e-3)


def test_complexity_is_the_size_of_a_png_file() -> None:
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for row, bits in zip(x, code_lengths(x, torch.tensor([0.0, 1.0])), strict=True):
        file = BytesIO()
        Image.fromarray((255 * row[0]).round().byte().numpy()).save(file, "png")
        assert bits == 8 * file.getbuffer().nbytes
    state, out = fitted("none"), Outputs(inputs=patches(1)[:9])
    expected = Likelihood().score(out, state) / np.log(2) - code_lengths(out.inputs, state["ends"])
    torch.testing.assert_close(Likelihood(correction="complexity").score(out, state), expected)


def test_plain_likelihood_prefers_simple_pictures_and_complexity_mends_it() -> None:
    """Frozen after one calibration: constant patches .31 plain, 1.00 mended; blurred ones .28 and .70."""
    constant = patches(1).mean((2, 3), keepdim=True).expand_as(patches(1))
    blurred = torch.tensor(gaussian_filter(patches(1).numpy(), (0, 0, 1, 1)))
    for simple in (constant, blurred):
        assert against(simple, "none") < 0.4
        assert against(simple, "complexity") > 0.6


def test_a_background_of_unchanged_inputs_and_equal_weights_is_a_ratio_of_nothing() -> None:
    detector = Likelihood(correction="background", mutation=0.0, epochs=1)
    out = Outputs(inputs=patches(0)[:64])
    torch.testing.assert_close(detector.score(out, detector.fit(FitData.of(out))), torch.zeros(64))


def test_a_correction_must_be_known() -> None:
    with pytest.raises(UserError, match="Expected a correction among none, complexity, background"):
        Likelihood(correction="size")  # type: ignore[arg-type]
