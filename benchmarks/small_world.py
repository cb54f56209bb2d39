"""Every detector's AUROC on a small fixed world, in float64: numbers that do not move.

The network is frozen (``tests/reference/small_world/network.safetensors``): random seeded filters under a head that
ridge regression found in closed form, nothing trained. It knows the digits 0 to 7; 8 and 9 are out of distribution.

Run: python benchmarks/small_world.py           prints the table
     python benchmarks/small_world.py --write   writes it beside the network, to go with the change that moved a number
     python benchmarks/small_world.py --freeze  makes the network anew, and the table with it
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from outfield import registry
from outfield.data.base import Dataset
from outfield.data.sources.digits import Digits
from outfield.detectors._requirements import asks
from outfield.detectors.base import Detector
from outfield.features.fit_data import FitData
from outfield.features.probes.base import Probe
from outfield.metrics.auroc import Auroc
from outfield.metrics.base import IdScores
from outfield.models.base import lacking
from outfield.models.networks.small_cnn import SmallCNN
from outfield.models.torch import TorchModel, load_into
from outfield.types import Outputs

FOLDER = Path(__file__).parents[1] / "tests" / "reference" / "small_world"
NETWORK, TABLE = FOLDER / "network.safetensors", FOLDER / "auroc.csv"
KNOWN, UNKNOWN, SIDE, WIDTH, RIDGE = tuple(range(8)), (8, 9), 8, 10, 1e-3
DECIMALS = 6

Aurocs = dict[str, dict[str, float]]
"""Detector to OOD set to AUROC."""


def digits(classes: tuple[int, ...], part: str) -> Dataset:
    return Digits(classes=classes, part=part, side=SIDE).load()


def network() -> nn.Module:
    """The frozen network in float64."""
    return load_into(SmallCNN(classes=len(KNOWN), width=WIDTH), load_file(NETWORK), str(NETWORK)).double().eval()


def opened() -> TorchModel:
    return TorchModel(network(), digits(KNOWN, "fit").read(slice(0, 2)), name="small world")


def served(model: TorchModel) -> dict[str, Detector]:
    """The detectors that find in the model what they ask for: those of texts and of regions need a CLIP."""
    detectors = {name: registry.create("detectors", name) for name in registry.own("detectors")}
    return {name: one for name, one in detectors.items() if not lacking(model, asks(one))}


def measured() -> Aurocs:
    """AUROC of every detector that the network serves, as it comes, on each OOD digit."""
    model = opened()
    detectors = served(model)
    probes = dict.fromkeys(probe for detector in detectors.values() for probe in detector.probes())
    parts = {part: digits(KNOWN, part) for part in ("fit", "val", "test")}
    parts |= {str(digit): digits((digit,), "all") for digit in UNKNOWN}
    outputs = {name: outputs_of(model, data, probes) for name, data in parts.items()}
    fit = FitData.of(outputs["fit"], outputs["val"])
    return {name: _aurocs(detector.clipped(fit), fit, outputs) for name, detector in detectors.items()}


def outputs_of(model: TorchModel, data: Dataset, probes: Iterable[Probe]) -> Outputs:
    """Outputs of all rows in float64, the values of the probes among their layers."""
    with model.evaluating():
        x = model.prepare(data.read(slice(0, len(data)))).requires_grad_()
        first = model.forward(x, model.layers)
        values = [probe(model, x, first) for probe in probes]
    labels = None if data.labels is None else torch.from_numpy(data.labels)
    layers = {name: value.detach() for found in values for name, value in found.items()}
    return Outputs(first.logits.detach(), first.features.detach(), labels, model.head, layers, inputs=x.detach())


def _aurocs(detector: Detector, fit: FitData, outputs: Mapping[str, Outputs]) -> dict[str, float]:
    state = detector.fit(fit)
    scores = {name: detector.score(outputs[name], state).numpy() for name in ("test", *map(str, UNKNOWN))}
    known = IdScores(scores.pop("test"))
    return {name: Auroc().of(known.against(found)).value for name, found in scores.items()}


def committed() -> Aurocs:
    """The table as it was committed."""
    with TABLE.open() as file:
        return {
            row.pop("detector"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)
        }


def write(aurocs: Aurocs) -> None:
    with TABLE.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["detector", *map(str, UNKNOWN)])
        table.writerows([name, *(f"{v:.{DECIMALS}f}" for v in row.values())] for name, row in aurocs.items())


def freeze() -> None:
    """Random filters of seed 0; the head by ridge regression of centred one-hot labels on the features."""
    torch.manual_seed(0)
    module = SmallCNN(classes=len(KNOWN), width=WIDTH).double().eval()
    data = digits(KNOWN, "fit")
    model = TorchModel(module, data.read(slice(0, 2)))
    with torch.inference_mode():
        features = model.forward(model.prepare(data.read(slice(None)))).features
        targets = nn.functional.one_hot(torch.from_numpy(data.labels), len(KNOWN)).double()
        away = features - features.mean(0)
        gram = away.T @ away + RIDGE * torch.eye(features.shape[1], dtype=torch.float64)
        weight = 10 * torch.linalg.solve(gram, away.T @ (targets - targets.mean(0))).T
        module.head.weight.copy_(weight)
        module.head.bias.copy_(-weight @ features.mean(0))
    FOLDER.mkdir(exist_ok=True)
    weights = module.state_dict()
    save_file({name: value.float() if value.is_floating_point() else value for name, value in weights.items()}, NETWORK)
    NETWORK.chmod(0o644)


def show(aurocs: Aurocs) -> None:
    print(f"AUROC of digits 0-7 against {' and '.join(map(str, UNKNOWN))}, float64")
    for name, row in aurocs.items():
        print(f"{name:12s}", *(f"{value:.4f}" for value in row.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the table")
    parser.add_argument("--freeze", action="store_true", help="make the network anew")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.freeze:
        freeze()
    aurocs = measured()
    show(aurocs)
    if args.write or args.freeze:
        write(aurocs)


if __name__ == "__main__":
    main()
