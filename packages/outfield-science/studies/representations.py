"""AUROC of the shallow one-class methods on each representation of a signature: the second table of the README."""

from __future__ import annotations

import torch

from outfield import registry
from outfield.data.member import Member
from outfield.features.fit_data import FitData
from outfield.metrics.auroc import Auroc
from outfield.types import Outputs
from outfield_science.detectors._one_class import REPRESENTATIONS
from outfield_science.sources.micro_doppler import MicroDoppler
from outfield_science.tasks.one_class import OneClass


def signatures(blades: tuple[int, ...], n: int, part: str) -> Outputs:
    """The inputs of the study ``micro_doppler``."""
    data = MicroDoppler(blades, n=n, part=part, pulses=32, bursts=32).load()  # type: ignore[arg-type]
    return Outputs(inputs=OneClass({}).batch(Member("signatures", "train", data)).x)


def main() -> None:
    """Prints a line for each method and representation."""
    train, test = signatures((1, 2), 400, "fit"), signatures((1, 2), 150, "test")
    strange = {f"{blades} blades": signatures((blades,), 150, "test") for blades in (4, 6)}
    methods = [(name, {"representation": one}) for name in ("oc_svm", "input_forest", "rpo") for one in REPRESENTATIONS]
    for name, params in [*methods, ("tangent_pca", {})]:
        detector = registry.create("detectors", name, **params)
        state = detector.fit(FitData.of(train))
        known = detector.score(test, state)
        found = [f"{label} {float(Auroc()(known, detector.score(out, state))):.3f}" for label, out in strange.items()]
        print(f"{name:24}{params.get('representation', 'tangent'):11}", *found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
