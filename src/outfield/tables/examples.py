"""Published tables that ship, and what their papers state about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import polars as pl

from outfield.errors import UnknownName


@dataclass(frozen=True)
class Statement:
    """What a paper states, to be put beside what its table supports.

    Examples
    --------
    >>> EXAMPLES["krumpl2026"].statements["shape"].text
    'AUROC rises with accuracy, then falls past the baseline (76.19%)'
    """

    topic: str
    text: str


@dataclass(frozen=True)
class Example:
    """A shipped table, the columns to read, its source, and what the paper states.

    Examples
    --------
    >>> EXAMPLES["resnet50-48"].options["id"], EXAMPLES["resnet50-48"].frame().height
    ('imagenet', 48)
    """

    file: str
    options: dict[str, Any]
    source: str
    statements: dict[str, Statement] = field(default_factory=dict)
    pooled_rows: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    friedman: float = float("nan")
    treatments: int = 0
    sets: int = 0

    def frame(self) -> pl.DataFrame:
        """The table as published."""
        return pl.read_csv(str(files("outfield") / "reference" / self.file))


EXAMPLES: dict[str, Example] = {
    "krumpl2026": Example(
        "krumpl2026_table2.csv",
        {"model": "model", "unit": "row", "family": "category", "id": "acc", "ood": ["auroc"], "ece": "ece",
         "baseline": "Original Baseline", "duplicates": ["acc", "ece", "auroc", "auroc_sd", "fpr95", "fpr95_sd"]},
        "Table 2 of One Model, Many Behaviors: Training-Induced Effects on Out-of-Distribution Detection, "
        "arXiv 2601.10836 (56 ResNet-50, 21 detectors, 8 OOD sets)",
        {
            "pooled": Statement("accuracy and AUROC, all rows", "rho = .04, p << .001 over 9,408 rows"),
            "shape": Statement("shape", "AUROC rises with accuracy, then falls past the baseline (76.19%)"),
            "interaction": Statement("variance", "OOD category 34.22%, model x method 21.05%"),
            "friedman": Statement("detectors", "Friedman chi2 = 467.97: SCALE and GRAM rank best"),
        },
        pooled_rows=9408,
        shares={"OOD category": 0.3422, "model x method": 0.2105, "residual": 0.1062, "model": 0.0969,
                "model x method x OOD category": 0.0866, "method": 0.0708, "method x OOD category": 0.0530,
                "model x OOD category": 0.0339},
        friedman=467.97, treatments=21, sets=8,
    ),
    "resnet50-48": Example(
        "resnet50_48_accuracies.csv",
        {"model": "model", "unit": "row", "family": "category", "id": "imagenet", "kind": "accuracy",
         "ood": ["imagenet-a", "imagenet-r", "imagenet-v2", "imagenet-sketch", "imagenet-c", "imagenet-cbar"],
         "items": {"imagenet-a": 7500, "imagenet-r": 30000, "imagenet-v2": 10000, "imagenet-sketch": 50889,
                   "imagenet-c": 50000, "imagenet-cbar": 50000, "imagenet": 50000}},
        "Gavrikov and Keuper, Can Biases in ImageNet Models Explain Generalization?, CVPR 2024, CC BY-SA 4.0 "
        "(48 ResNet-50)",
    ),
}  # fmt: skip


def example(name: str) -> Example:
    """A shipped example by name.

    Raises
    ------
    UnknownName
        With the nearest name, when there is none.

    Examples
    --------
    >>> example("krumpl2026").frame().height
    56
    """
    if name not in EXAMPLES:
        raise UnknownName("example", name, EXAMPLES)
    return EXAMPLES[name]
