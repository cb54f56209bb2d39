"""The same detectors, model and data through pytorch-ood 0.4.0, from pictures to scores, side by side.

Every detector that both have, with the same settings and the same splits. Twice: as its documentation shows, each
detector passing the model itself; and at its best, with logits and pooled features taken once and handed to all that
take them (``fit_features`` and the like). ASH, ReAct, SCALE and VRA get the pooled features as maps of one place.

pytorch-ood is no dependency of outfield but the extra ``peers``; without what its data sets need (torchvision), this is
enough for the benchmark:
    pip install --no-deps pytorch-ood==0.4.0

Targets: 5 times faster over all; Spearman .999, or the reason beside it. Exit status 1 where a reason is missing.

Run: python benchmarks/peers.py [--fit 500] [--test 200] [--network resnet18]
"""

from __future__ import annotations

import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from _resnet18 import ResNet18
from _side_by_side import Seconds, arguments, parsed, timed
from numpy.typing import NDArray
from scipy.stats import spearmanr
from single_pass import logits, pictures, spread
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from outfield import registry
from outfield.data.datasets import ArrayDataset
from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.features.extract import BATCH, extract
from outfield.features.fit_data import FitData
from outfield.features.probes.base import Probe
from outfield.models.networks.resnet_cifar import ResNetCifar
from outfield.models.preprocess import Pictures
from outfield.models.torch import TorchModel
from outfield.studies.scoring import score

CLASSES = 10
AGREED = 0.999
Scores = dict[str, NDArray[np.float64]]
Takes = Literal["logits", "features", "maps", "model"]


@dataclass(frozen=True)
class Pair:
    """A detector of both: the peer's from its module and our network, what it takes, and what it is fitted on.

    ``why`` says where the peer computes something else, so that ranks need not agree.
    """

    make: Callable[[Any, Network], Any]
    takes: Takes
    fits_on: Literal["train", "val", ""] = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


class Network:
    """The network as the peer wants it: pooled features, a head, and layers one after another."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.head = module, module.head
        stages = [stage for name, stage in module.named_children() if name.startswith("stage")]
        self.layers = [module.stem, nn.Sequential(nn.ReLU(), stages[0]), *stages[1:]]
        self.dim = self.head.in_features
        self.weight, self.bias = self.head.weight.detach().clone(), self.head.bias.detach().clone()

    def features(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return self.module.pool(x).flatten(1)

    def maps(self, x: Tensor) -> Tensor:
        return self.features(x)[:, :, None, None]

    def of_maps(self, maps: Tensor) -> Tensor:
        return self.head(maps.flatten(1))

    def of_last_layer(self, maps: Tensor) -> Tensor:
        return self.head(self.module.pool(maps).flatten(1))


PAIRS: dict[str, Pair] = {
    "msp": Pair(lambda p, n: p.MaxSoftmax(n.module), "logits"),
    "mls": Pair(lambda p, n: p.MaxLogit(n.module), "logits"),
    "energy": Pair(lambda p, n: p.EnergyBased(n.module), "logits"),
    "entropy": Pair(lambda p, n: p.Entropy(n.module), "logits"),
    "gen": Pair(
        lambda p, n: p.GEN(n.module, gamma=0.1, M=100), "logits", why="cuts probabilities off at 1e-7: ties, and less"
    ),
    "temp_scale": Pair(
        lambda p, n: p.TemperatureScaling(n.module),
        "logits",
        "val",
        why="50 steps of LBFGS at rate 0.01 from T = 1, which need not arrive",
    ),
    "klm": Pair(lambda p, n: p.KLMatching(n.module), "logits", "val"),
    "openmax": Pair(
        lambda p, n: p.OpenMax(n.module, tailsize=20, alpha=3),
        "logits",
        "train",
        why="moves distances by 10,000, not 1, before it fits the Weibull; takes all rows, not right ones alone",
    ),
    "knn": Pair(lambda p, n: p.KNN(n.features, k=50), "features", "train", {"k": 50, "share": 1.0}),
    "nnguide": Pair(lambda p, n: p.NNGuide(n.features, n.head, k=10), "features", "train", {"k": 10, "share": 1.0}),
    "mds": Pair(lambda p, n: p.Mahalanobis(n.features), "features", "train"),
    "rmds": Pair(lambda p, n: p.RMD(n.features), "features", "train"),
    "vim": Pair(
        lambda p, n: p.ViM(n.features, 32, n.weight, n.bias),
        "features",
        "train",
        {"d": 32},
        why="float32 throughout, with eigenvalues seven orders apart; in float64 its formula gives our ranks",
    ),
    "she": Pair(lambda p, n: p.SHE(n.features, n.head), "features", "train"),
    "fdbd": Pair(lambda p, n: p.fDBD(n.features, n.head), "features", "train"),
    "nci": Pair(lambda p, n: p.NCI(n.features, n.head, alpha=1e-4), "features", "train"),
    "dice": Pair(lambda p, n: p.DICE(n.features, n.weight, n.bias, p=0.9), "features", "train"),
    "lts": Pair(lambda p, n: p.LTS(n.features, n.head, p=0.05), "features"),
    "react": Pair(lambda p, n: p.ReAct(n.maps, n.of_maps, percentile=0.9), "maps", "train"),
    "ash": Pair(lambda p, n: p.ASH(n.maps, n.of_maps, percentile=0.9), "maps"),
    "scale": Pair(lambda p, n: p.SCALE(n.maps, n.of_maps, percentile=0.85), "maps"),
    "vra": Pair(
        lambda p, n: p.VRA(n.maps, n.of_maps, lower_percentile=0.6, upper_percentile=0.9),
        "maps",
        "train",
        why="lifts small activations to the lower quantile, the paper sets them to 0; quantiles of each channel",
    ),
    "gradnorm": Pair(lambda p, n: p.GradNorm(n.module, param_filter=lambda name: name == "head.weight"), "model"),
    "odin": Pair(lambda p, n: p.ODIN(n.module, eps=0.0014, temperature=1000.0), "model"),
    "gram": Pair(
        lambda p, n: p.Gram(n.of_last_layer, n.layers, CLASSES, num_poles_list=[1, 2, 3, 4, 5]),
        "model",
        "train",
        why="holds out other rows, and learns ranges by label (the paper: by predicted class)",
    ),
}
"""Every detector of pytorch-ood 0.4.0 that outfield has too."""


@dataclass(frozen=True)
class World:
    """A network, and pictures to fit on, held out, and to score; labels are its predictions, one in ten another."""

    network: Network
    sets: dict[str, ArrayDataset]
    tensors: dict[str, TensorDataset]

    @classmethod
    def made(cls, module: nn.Module, fit: int, test: int) -> World:
        raw = {name: pictures(n, i) for i, (name, n) in enumerate({"train": fit, "val": fit, "test": test}.items())}
        spread(module, raw["train"])
        sets = {name: ArrayDataset(items, _labels(module, items)) for name, items in raw.items()}
        tensors = {
            name: TensorDataset(Pictures()(one.items), torch.as_tensor(one.labels)) for name, one in sets.items()
        }
        return cls(Network(module), sets, tensors)

    def loader(self, name: str) -> DataLoader[Any]:
        return DataLoader(self.tensors[name], BATCH)


def _labels(module: nn.Module, items: NDArray[np.uint8]) -> NDArray[np.int64]:
    rng = np.random.default_rng(len(items))
    predicted = logits(module, items).argmax(1).numpy()
    return np.where(rng.random(len(items)) < 0.1, rng.integers(0, CLASSES, len(items)), predicted)


def peer_module() -> Any:
    """``pytorch_ood.detector`` without the package's own ``__init__``."""
    if (found := PathFinder.find_spec("pytorch_ood")) is None:
        raise UserError("Expected pytorch-ood, but it is not installed. Run: pip install --no-deps pytorch-ood==0.4.0")
    package = ModuleType("pytorch_ood")
    package.__path__ = list(found.submodule_search_locations or ())
    sys.modules["pytorch_ood"] = package
    import pytorch_ood.detector as peer  # type: ignore[import-not-found]  # an extra for this benchmark alone

    logging.disable(logging.WARNING)
    return peer


def as_documented(peer: Any, world: World) -> Scores:
    """Each detector fitted by a loader and asked batch by batch."""
    return {name: _by_loader(pair, pair.make(peer, world.network), world) for name, pair in PAIRS.items()}


def _by_loader(pair: Pair, one: Any, world: World) -> NDArray[np.float64]:
    with torch.no_grad():
        if pair.fits_on:
            with torch.set_grad_enabled(pair.takes == "logits"):
                one.fit(world.loader(pair.fits_on))
        return _joined(one.predict(x) for x, _ in world.loader("test"))


def at_its_best(peer: Any, world: World) -> Scores:
    """Logits and pooled features are taken once; what queries the model still does."""
    with torch.no_grad():
        features = {
            name: torch.cat([world.network.features(x) for x, _ in world.loader(name)]) for name in world.tensors
        }
        values: dict[str, dict[str, Tensor]] = {
            "features": features,
            "logits": {name: world.network.head(found) for name, found in features.items()},
            "maps": {name: found[:, :, None, None] for name, found in features.items()},
        }
    return {name: _by_values(pair, pair.make(peer, world.network), values, world) for name, pair in PAIRS.items()}


def _by_values(pair: Pair, one: Any, values: Mapping[str, Mapping[str, Tensor]], world: World) -> NDArray[np.float64]:
    if pair.takes == "model":
        return _by_loader(pair, one, world)
    kind = "feature_maps" if pair.takes == "maps" else pair.takes
    if pair.fits_on:
        getattr(one, f"fit_{kind}")(values[pair.takes][pair.fits_on], world.tensors[pair.fits_on].tensors[1])
    with torch.no_grad():
        return _joined([getattr(one, f"predict_{kind}")(values[pair.takes]["test"])])


def _joined(scores: Any) -> NDArray[np.float64]:
    found: NDArray[np.float64] = torch.cat(list(scores)).detach().double().numpy()
    return found


def ours(world: World) -> Scores:
    """What a study does: one pass over each set, with the probes that are read on it, one pass of folds, scores."""
    detectors = {name: registry.create("detectors", name, **pair.params) for name, pair in PAIRS.items()}
    with tempfile.TemporaryDirectory() as folder:
        model = TorchModel(world.network.module, world.sets["train"].read(slice(0, 2)))
        take = partial(extract, model, cache=Cache(Path(folder)), digest=model.digest())
        read = {name: _probes(list(detectors.values()), name) for name in world.sets}
        train, val, test = (take(data, probes=read[name]) for name, data in world.sets.items())
        fit = FitData(train, val)
        built = {name: one.clipped(fit) for name, one in detectors.items()}
        fit.prepare(fold for one in detectors.values() for fold in one.folds_on(fit))
        return {name: score(one, one.fit(fit), test, "test") for name, one in built.items()}


def _probes(detectors: list[Detector], name: str) -> tuple[Probe, ...]:
    reading = [one for one in detectors if name == "test" or name in one.fits_on]
    return tuple(dict.fromkeys(probe for one in reading for probe in one.probes()))


def table(own: Scores, documented: Scores, best: Scores) -> list[str]:
    """Print rank agreement of each detector; the names of those that differ without a reason."""
    unexplained = []
    for name, pair in PAIRS.items():
        agreement = min(float(spearmanr(own[name], other[name]).statistic) for other in (documented, best))
        told = "" if agreement >= AGREED else pair.why or "NO REASON KNOWN"
        unexplained += [name] if told == "NO REASON KNOWN" else []
        print(f"{name:10s} Spearman {agreement:+.4f}  {told}")
    return unexplained


def main() -> None:
    parser = parsed(__doc__, fit=500, test=200)
    parser.add_argument("--network", choices=["resnet20", "resnet18"], default="resnet20")
    args = arguments(parser)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    module = (ResNetCifar(classes=CLASSES) if args.network == "resnet20" else ResNet18(CLASSES)).eval()
    world, peer = World.made(module, args.fit, args.test), peer_module()
    own, mine = timed(lambda: ours(world))
    documented, slow = timed(lambda: as_documented(peer, world))
    best, fast = timed(lambda: at_its_best(peer, world))
    print(
        f"{len(PAIRS)} detectors, {args.network}, {args.fit:,} to fit on and to hold out, {args.test:,} scored: {mine}"
    )
    for label, spent in (("as documented", slow), ("with logits and features taken once", fast)):
        print(f"pytorch-ood {label}: {spent}; factor {spent.over(mine) if mine.wall else Seconds()}; target 5")
    if unexplained := table(own, documented, best):
        raise SystemExit(f"Ranks differ and nobody knows why: {', '.join(unexplained)}")


if __name__ == "__main__":
    main()
