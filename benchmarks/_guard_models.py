"""The models of the guard's demonstration and benchmark, in a file that a service loads."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from outfield import registry
from outfield.models.base import Model
from outfield.models.networks._weight_names import under_own_names
from outfield.models.open import open_model
from outfield.models.preprocess import Pictures
from outfield.models.torch import load_into, load_weights

DATA = Path(os.environ.get("OUTFIELD_DATA") or Path(__file__).parents[2] / "shared" / "data")
WEIGHTS = DATA / "weights/cifar10/resnet20-12fca82f.th"


def resnet20() -> Model:
    """The published network, with the preprocessing that it was trained with."""
    module = registry.create("networks", "resnet_cifar", classes=10, depth=20)
    load_into(module, under_own_names(module, load_weights(WEIGHTS))).eval()
    pictures = Pictures(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    return open_model(module, example=np.zeros((2, 32, 32, 3), np.uint8), preprocess=pictures, name="resnet20")


def digits_network() -> Model:
    """A small network that knows the digits 0 to 7."""
    torch.manual_seed(0)
    (x, y), _, _ = digits()
    net = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(torch.from_numpy(x)), torch.from_numpy(y)).backward()
        optimizer.step()
    return open_model(net.eval(), example=x[:2], name="digits 0 to 7")


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], np.ndarray]:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, known = (x / 16).astype(np.float32), y < 8
    order = np.random.default_rng(0).permutation(np.flatnonzero(known))
    return (x[order[:400]], y[order[:400]]), (x[order[400:]], y[order[400:]]), x[~known]
