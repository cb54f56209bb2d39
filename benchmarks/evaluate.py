"""One model evaluated twice: the second time nothing has changed, so that it costs what its arithmetic costs.

    python benchmarks/evaluate.py

A ResNet-20 of 32 x 32 pictures, 2,000 of them to test on, 1,000 to fit on and 2,100 OOD, every detector, one thread.
Weights and pictures are drawn, not trained: what is timed does not depend on them. Prints both times and their ratio.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import torch

from outfield import registry
from outfield.card.run import evaluate
from outfield.features.cache import Cache
from outfield.models.networks.resnet_cifar import ResNetCifar

TARGET = 0.2


def pictures(n: int, seed: int) -> np.ndarray:
    """Smooth pictures, so that a network answers them differently."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return np.asarray(coarse.repeat(4, axis=1).repeat(4, axis=2))


def evaluated(network: torch.nn.Module, data: dict[str, tuple[np.ndarray, np.ndarray]], folder: Path) -> float:
    """Seconds of one evaluation with a cache."""
    start = perf_counter()
    evaluate(
        network,
        id_train=data["train"],
        id_test=data["test"],
        ood={"near": {"one": data["one"][0]}, "far": {"two": data["two"][0]}},
        cache=Cache(folder),
    )
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="share of the inputs")
    share = parser.parse_args().share
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = ResNetCifar(classes=10).eval()
    sizes = {"train": 1000, "test": 2000, "one": 1100, "two": 1000}
    data = {}
    for seed, (name, n) in enumerate(sizes.items()):
        inputs = pictures(int(n * share), seed)
        data[name] = inputs, np.random.default_rng(seed).integers(0, 10, len(inputs))
    with tempfile.TemporaryDirectory() as folder:
        first, second = (evaluated(network, data, Path(folder)) for _ in range(2))
    print(f"{len(registry.usual('detectors'))} detectors")
    print(f"first {first:.1f} s, again {second:.1f} s: {second / first:.2f} of it (target {TARGET})")


if __name__ == "__main__":
    main()
