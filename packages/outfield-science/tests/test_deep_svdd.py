"""Deep SVDD: its centre, loss and score are the paper's; what contamination costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from outfield.data.member import Member
from outfield.errors import UserError
from outfield.models.torch import TorchModel
from outfield.registry import create
from outfield.strategies import Moment, Strategy, train
from outfield.types import Batch
from outfield_science.sources.micro_doppler import MicroDoppler
from outfield_science.strategies.deep_svdd import EPSILON, DeepSVDD, Sphere, contaminated
from outfield_science.tasks.one_class import OneClass

TASK = OneClass({}, classes=2)


def signatures(blades: tuple[int, ...], n: int, part: str = "fit") -> Batch:
    data = MicroDoppler(blades, n=n, part=part, pulses=32, bursts=32).load()  # type: ignore[arg-type]
    return TASK.batch(Member("signatures", "train", data))


NORMAL, STRANGE = signatures((1, 2), 40), signatures((4, 6), 10)


def network() -> nn.Module:
    made: nn.Module = create("networks", "svdd_lenet", classes=2, width=2, hidden=16, representation=8)
    return made


def trained(strategy: Strategy, seed: int = 0, **options: object) -> Sphere:
    data = replace(NORMAL, streams={"outliers": STRANGE})
    sphere = train(strategy, network, data, TASK, seed=seed, epochs=2, **options)  # type: ignore[arg-type]
    assert isinstance(sphere, Sphere)
    return sphere


def test_the_centre_is_the_mean_of_the_first_representations_and_stays() -> None:
    seen: list[Tensor] = []

    def look(moment: Moment) -> None:
        sphere = next(module for module in moment.network.modules() if isinstance(module, Sphere))
        if not seen:
            seen.append(sphere.trunk.eval()(NORMAL.x).mean(0).detach())
        seen.append(sphere.centre.clone())

    centre = trained(DeepSVDD(batch_size=20), on_step=look).centre
    mean, *centres = seen
    far = mean.abs() >= EPSILON
    assert torch.allclose(centres[0][far], mean[far], atol=1e-5)
    assert torch.allclose(centres[0][~far].abs(), torch.tensor(EPSILON))
    assert all(torch.equal(centre, one) for one in centres)


def test_the_loss_is_the_mean_squared_distance_to_the_centre() -> None:
    sphere = Sphere(network()).eval()
    sphere.centre.fill_(0.3)
    loss = DeepSVDD().loss(sphere, NORMAL, TASK)
    assert torch.allclose(loss, (sphere.trunk(NORMAL.x) - 0.3).square().sum(1).mean())


def test_labelled_anomalies_add_the_inverse_of_their_squared_distance() -> None:
    sphere = Sphere(network()).eval()
    batch = replace(NORMAL, streams={"outliers": STRANGE})
    apart = create("strategies", "deep_sad", weight=2.0).loss(sphere, batch, TASK) - DeepSVDD().loss(
        sphere, batch, TASK
    )
    assert torch.allclose(apart, 2 * (1 / (sphere.trunk(STRANGE.x).square().sum(1) + 1e-6)).mean(), rtol=1e-3)


@pytest.mark.parametrize("name", ["deep_svdd", "deep_sad"])
def test_the_features_of_the_model_are_displacements_so_that_the_detector_has_the_papers_score(name: str) -> None:
    sphere = trained(create("strategies", name, batch_size=20))
    x = NORMAL.x.permute(0, 2, 3, 1).numpy()
    model = TorchModel(sphere, x[:2])
    with torch.no_grad():
        out = model.forward(model.prepare(x))
        score = create("detectors", "svdd").score(out, {})
        assert torch.allclose(score.float(), (sphere.trunk(NORMAL.x) - sphere.centre).square().sum(1), rtol=1e-4)
        assert torch.allclose(out.head(out.features), out.logits, atol=1e-5)


def test_the_network_has_no_bias_before_its_head() -> None:
    assert [name for name, _ in network().named_parameters() if "bias" in name] == ["head.bias"]


def test_a_resumed_run_has_the_same_centre_and_weights(tmp_path: Path) -> None:
    def save(moment: Moment) -> None:
        if moment.step == 3:
            moment.save(tmp_path / "step3")

    whole = trained(DeepSVDD(batch_size=20), on_step=save).state_dict()
    again = trained(DeepSVDD(batch_size=20), resume=tmp_path / "step3").state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_contamination_is_the_share_of_anomalies_that_are_taken_for_normal() -> None:
    data = replace(NORMAL, streams={"outliers": STRANGE})
    mixed = DeepSVDD(contamination=0.1).data(data, TASK)
    strange = {row.numpy().tobytes() for row in STRANGE.x}
    assert len(mixed) == 89 and sum(row.numpy().tobytes() in strange for row in mixed.x) == 9
    assert torch.equal(mixed.x[:80], NORMAL.x) and mixed.targets.bincount().sum() == 89
    assert DeepSVDD().data(data, TASK) is data


def test_more_contamination_than_there_are_anomalies_is_told() -> None:
    with pytest.raises(UserError, match="Expected at least 21 outliers to contaminate 80 items with, but got 20"):
        contaminated(NORMAL, STRANGE, 21)
    with pytest.raises(UserError, match="Expected the streams outliers for DeepSVDD"):
        train(DeepSVDD(contamination=0.1), network, NORMAL, TASK, seed=0, epochs=1)


def test_contamination_lowers_the_mean_auroc() -> None:
    """At 0 and 10%, four seeds, on a smaller ``studies/micro_doppler.yaml``: calibrated once, frozen."""
    data = replace(signatures((1, 2), 200), streams={"outliers": signatures((4, 6), 30)})
    known, others = signatures((1, 2), 100, "test"), signatures((4, 6), 100, "test")
    truth = np.repeat([0, 1], 200)

    def auroc(contamination: float, seed: int) -> float:
        strategy = DeepSVDD(contamination=contamination, batch_size=50)
        make = lambda: create("networks", "svdd_lenet", classes=2, width=4)  # noqa: E731
        sphere = train(strategy, make, data, TASK, seed=seed, epochs=10)
        with torch.no_grad():
            scores = torch.cat([sphere.distances(one.x) for one in (known, others)])  # type: ignore[operator]
        return float(roc_auc_score(truth, scores))

    clean, polluted = (np.mean([auroc(share, seed) for seed in range(4)]) for share in (0.0, 0.1))
    print(f"mean AUROC {clean:.3f} clean, {polluted:.3f} with 10% contamination")
    assert clean > 0.7 and clean - polluted > 0.02
