"""Published weights in our networks make as many errors as their authors say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from outfield import registry
from outfield.data.base import Dataset
from outfield.data.in_memory import in_memory
from outfield.data.sampling import sample
from outfield.models.networks._weight_names import under_own_names
from outfield.models.preprocess import Pictures
from outfield.models.torch import load_into, load_weights
from tests.reference import realdata

CIFAR = Pictures(mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
IMAGENET = Pictures(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))


def errors(weights: Path, network: dict[str, Any], preprocess: Pictures, data: Dataset) -> int:
    """Wrong predictions on a labelled set."""
    module = registry.create("networks", network.pop("name"), classes=10, **network)
    load_into(module, under_own_names(module, load_weights(weights))).eval()
    wrong = 0
    with torch.inference_mode():
        for start in range(0, len(data), 100):
            rows = slice(start, start + 100)
            wrong += int((module(preprocess(data.read(rows))).argmax(1).numpy() != data.labels[rows]).sum())
    return wrong


@cache
def pictures(root: Path, name: str) -> Dataset:
    return in_memory(registry.create("sources", "zip", path=str(root / "vision" / f"{name}.zip")).load())


@pytest.mark.parametrize(("name", "accuracy"), [("mnist", 98.2), ("fashion_mnist", 78.3)])
def test_certified_networks_have_their_published_accuracy(name: str, accuracy: float) -> None:
    root = realdata.root(f"weights/convex/{name}.pth", f"vision/{name}_test.zip")
    network = {"name": "cnn_a", "channels": 1, "side": 28}
    wrong = errors(root / "weights/convex" / f"{name}.pth", network, Pictures(), pictures(root, f"{name}_test"))
    assert round(100 - wrong / 100, 1) == accuracy


@pytest.mark.parametrize(("name", "published"), [("baseline", 94), ("oe_tune", 92), ("oe_scratch", 103)])
def test_networks_of_outlier_exposure_make_their_published_errors(name: str, published: int) -> None:
    root = realdata.root(f"weights/mnist/{name}.pt", "vision/mnist_test.zip")
    network = {"name": "outlier_exposure_cnn"}
    wrong = errors(root / f"weights/mnist/{name}.pt", network, Pictures(), pictures(root, "mnist_test"))
    assert wrong == published


@pytest.mark.parametrize(
    ("name", "accuracy"), [("adv", 69.8), ("adv4", 60.1), ("adv_alt", 72.1), ("mix", 76.8), ("mix4", 71.1)]
)
def test_cnn_a_has_its_published_accuracy(name: str, accuracy: float) -> None:
    root = realdata.root(f"weights/cifar10_cnn_a/{name}.model", "vision/cifar10_test.zip")
    wrong = errors(
        root / f"weights/cifar10_cnn_a/{name}.model", {"name": "cnn_a"}, CIFAR, pictures(root, "cifar10_test")
    )
    assert 100 - wrong / 100 == pytest.approx(accuracy, abs=0.0501)


@pytest.mark.parametrize(
    ("file", "depth", "few"), [("resnet20-12fca82f.th", 20, 130), ("resnet32-d509ac18.th", 32, 118)]
)
def test_residual_networks_make_their_published_errors(file: str, depth: int, few: int) -> None:
    """On a seeded 1,500 of the 10,000 pictures; with all of them, 827 and 737, as published, and these 130 and 118."""
    root = realdata.root(f"weights/cifar10/{file}", "vision/cifar10_test.zip")
    data = sample(pictures(root, "cifar10_test"), 1500)
    assert errors(root / "weights/cifar10" / file, {"name": "resnet_cifar", "depth": depth}, IMAGENET, data) == few
