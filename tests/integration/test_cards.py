"""A card in three lines for models of each framework: what applies is used, what does not is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from outfield.card.card import Card
from outfield.card.run import evaluate
from outfield.data.datasets import ArrayDataset, ListDataset
from outfield.features.cache import Cache
from tests.contracts import frameworks
from tests.contracts.frameworks import CASES, CLASSES, WORDS

pytestmark = pytest.mark.filterwarnings("ignore")  # of the frameworks, when they are imported
GRADIENTS = {"odin", "adascale"}
HEAD = {"react", "dice", "ash", "scale", "vim"}


def draw_pictures(seed: int, n: int, low: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(low, 256, (n, 40, 44, 3), dtype=np.uint8)


def pictures(seed: int, n: int) -> ArrayDataset:
    return ArrayDataset(draw_pictures(seed, n), np.arange(n) % CLASSES)


def texts(seed: int, n: int) -> ListDataset:
    rng = np.random.default_rng(seed)
    rows = [" ".join(rng.choice(WORDS, size=rng.integers(6, 16))) for _ in range(n)]
    return ListDataset(rows, np.arange(n) % CLASSES)


def table(seed: int, n: int) -> ArrayDataset:
    labels = np.arange(n) % CLASSES
    return ArrayDataset(np.random.default_rng(seed).normal(size=(n, 6)) + labels[:, None], labels)


OPENED = {
    "timm resnet18": (pictures, draw_pictures(9, 20, low=200), set()),
    "timm vit_tiny": (pictures, draw_pictures(9, 20, low=200), {"gram"}),
    "transformers bert": (texts, ["[MASK]", *["a " * n for n in range(20, 40)]], {"gram", *GRADIENTS}),
    "sklearn pipeline": (table, np.full((20, 6), 40.0) + np.eye(20, 6), {"gram", *GRADIENTS}),
    "sklearn forest": (table, np.full((20, 6), 40.0) + np.eye(20, 6), {"gram", *GRADIENTS, *HEAD}),
    "onnx resnet": (pictures, draw_pictures(9, 20, low=200), {"gram", *GRADIENTS}),
}


@pytest.mark.parametrize("name", OPENED)
def test_a_card_for(name: str, tmp_path: Path) -> None:
    data, ood, left_out = OPENED[name]
    model = CASES[name](tmp_path).model
    card = made(model, data, ood, tmp_path)
    named = ["msp", "energy", "mds", "knn", "klm", *sorted(HEAD), *sorted(GRADIENTS), "gram"]
    assert left_out <= set(card.left_out), card.left_out
    assert not {"msp", "energy", "mds", "knn"} & set(card.left_out)
    assert {*card.left_out, *card.choice.table["detector"]} == set(named)
    aurocs = card.frame().filter(pl.col("metric") == "auroc")
    assert aurocs["value"].is_between(0, 1).all() and set(aurocs["set"]) == {"far"}
    assert card.save(tmp_path / "card.html").stat().st_size > 100_000
    assert card.model == repr(model) and card.model in card.summary()["model"]


def made(model: Any, data: Callable[[int, int], Any], ood: Any, folder: Path) -> Card:
    detectors = ["msp", "energy", "mds", "knn", "klm", *sorted(HEAD), *sorted(GRADIENTS), "gram"]
    return evaluate(
        model,
        id_train=data(1, 60),
        id_test=data(2, 40),
        ood={"far": ood},
        detectors=detectors,
        batch=30,
        cache=Cache(folder / "cache"),
    )


def test_the_card_of_a_model_by_name_says_what_was_found(tmp_path: Path) -> None:
    frameworks.vision()
    CASES["timm vit_tiny"](tmp_path)
    card = evaluate(
        f"timm:{tmp_path}",
        id_test=pictures(3, 60),
        ood={"far": draw_pictures(9, 20, low=200)},
        detectors=["msp", "gram"],
        cache=Cache(tmp_path / "cache"),
    )
    assert "head 'head'" in card.model and "side=32" in card.model
    assert card.left_out == {"gram": "the model has no layers that give feature maps"}
