"""The same detectors, model and data through pytorch-ood 0.4.0, from pictures to scores, side by side.

pytorch-ood is no dependency of outfield. To install it for this benchmark alone:
    python -m venv peers && peers/bin/pip install outfield pytorch-ood==0.4.0
Its detectors alone are imported, so that its data sets' own needs (torchvision) do not matter. Each of its detectors
passes the model itself, as its documentation shows; ours share one pass. Targets: 5 times faster; Spearman .999.

Run: python benchmarks/peers.py [--fit 500] [--test 200]
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from _side_by_side import Seconds, arguments, parsed, timed
from numpy.typing import NDArray
from scipy.stats import spearmanr
from single_pass import logits, pictures, spread
from torch.utils.data import DataLoader, TensorDataset

from outfield import registry
from outfield.data.datasets import ArrayDataset
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.features.extract import BATCH, extract
from outfield.features.fit_data import FitData
from outfield.models.networks.resnet_cifar import ResNetCifar
from outfield.models.preprocess import Pictures
from outfield.models.torch import TorchModel
from outfield.studies.scoring import score

Scores = dict[str, NDArray[np.float64]]


def detectors_of_peer() -> Any:
    """``pytorch_ood.detector`` without the package's own ``__init__``."""
    if (found := PathFinder.find_spec("pytorch_ood")) is None:
        raise UserError("Expected pytorch-ood, but it is not installed. Run: pip install --no-deps pytorch-ood==0.4.0")
    package = ModuleType("pytorch_ood")
    package.__path__ = list(found.submodule_search_locations or ())
    sys.modules["pytorch_ood"] = package
    import pytorch_ood.detector as peer  # type: ignore[import-not-found]  # an extra for this benchmark alone

    return peer


def peers(module: ResNetCifar, d: int) -> dict[str, Any]:
    """Name here to the peer's detector, with the settings that ours has."""
    peer = detectors_of_peer()

    def features(x: torch.Tensor) -> torch.Tensor:
        maps = module.stage3(module.stage2(module.stage1(module.stem(x))))
        return module.pool(maps).flatten(1)

    head = module.head
    return {
        "msp": peer.MaxSoftmax(module),
        "mls": peer.MaxLogit(module),
        "energy": peer.EnergyBased(module),
        "knn": peer.KNN(features, k=50),
        "mds": peer.Mahalanobis(features),
        "rmds": peer.RMD(features),
        "vim": peer.ViM(features, d, head.weight.detach().clone(), head.bias.detach().clone()),
        "she": peer.SHE(features, head),
    }


def theirs(found: dict[str, Any], fit: TensorDataset, test: TensorDataset) -> Scores:
    return {name: _theirs(one, fit, test) for name, one in found.items()}


def _theirs(one: Any, fit: TensorDataset, test: TensorDataset) -> NDArray[np.float64]:
    with torch.no_grad():
        one.fit(DataLoader(fit, BATCH))
        return torch.cat([one.predict(x) for x, _ in DataLoader(test, BATCH)]).double().numpy()


def ours(names: list[str], module: ResNetCifar, fit: ArrayDataset, test: ArrayDataset) -> Scores:
    with tempfile.TemporaryDirectory() as folder:
        model = TorchModel(module, fit.read(slice(0, 2)))
        train, rows = (extract(model, data, Cache(Path(folder))) for data in (fit, test))
        data = FitData(train)
        built = {name: registry.create("detectors", name).clipped(data) for name in names}
        return {name: score(one, one.fit(data), rows, "test") for name, one in built.items()}


def main() -> None:
    args = arguments(parsed(__doc__, fit=500, test=200))
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    module = ResNetCifar(classes=10).eval()
    raw = {"fit": pictures(args.fit, 0), "test": pictures(args.test, 1)}
    spread(module, raw["fit"])
    fit, test = (ArrayDataset(items, logits(module, items).argmax(1)) for items in raw.values())
    tensors = [TensorDataset(Pictures()(one.items), torch.as_tensor(one.labels)) for one in (fit, test)]
    found = peers(module, d=32)
    (own, mine), (other, peer) = (
        timed(lambda: ours(list(found), module, fit, test)),
        timed(lambda: theirs(found, *tensors)),
    )
    print(f"{len(found)} detectors, fit on {args.fit:,}, {args.test:,} scored: {mine}; pytorch-ood {peer}")
    print(f"factor {peer.over(mine) if mine.wall else Seconds()}; target 5")
    for name in found:
        print(f"{name:10s} Spearman {spearmanr(own[name], other[name]).statistic:+.4f}")


if __name__ == "__main__":
    main()
