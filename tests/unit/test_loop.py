"""The training loop and the hooks: what it learns, what it refuses, what a strategy's formula gives."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.keys import of_tensors
from outfield.registry import create
from outfield.strategies import Moment, PictureStrategy, _mixing, _pictures, train
from outfield.strategies._contrast import contrastive
from outfield.strategies._fractals import fractals
from outfield.strategies._heads import fitted_head
from outfield.strategies.base import learned
from outfield.tasks.classify import Classify
from outfield.types import Batch

TWO, TEN = Classify(classes=2), Classify(classes=10)
IMAGES, LABELS = torch.rand(8, 1, 8, 8), torch.arange(8) % 2


@pytest.fixture(scope="module")
def digits() -> tuple[Tensor, Tensor]:
    data = load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32)[:, None]
    return nn.functional.interpolate(images, scale_factor=2, mode="bilinear"), torch.tensor(data.target)


def cnn(classes: int = 10, width: int = 8) -> nn.Module:
    network = create("networks", "small_cnn", classes=classes, width=width)
    assert isinstance(network, nn.Module)
    return network


def plan(name: str, **params: object) -> PictureStrategy:
    strategy = create("strategies", name, **params)
    assert isinstance(strategy, PictureStrategy)
    return strategy


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((network(images).argmax(1) == labels).float().mean())


def test_the_baseline_learns_the_digits_and_the_low_families_learn_less(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = (rows[torch.randperm(1797, generator=torch.Generator().manual_seed(0))] for rows in digits)
    fit, test = slice(1000), slice(1000, None)

    def reached(name: str) -> float:
        network = train(plan(name), lambda: cnn(width=16), Batch(images[fit], labels[fit]), TEN, seed=0, epochs=12)
        return accuracy(network, images[test], labels[test])

    baseline = reached("baseline")
    assert baseline > 0.97
    assert 0.2 < reached("under_trained") < baseline - 0.05
    assert 0.5 < reached("small_data") < baseline - 0.03


def test_the_loss_falls(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits[0][:400], digits[1][:400]
    losses: list[float] = []

    def look(moment: Moment) -> None:
        if moment.step in (0, moment.total):
            with torch.no_grad():
                losses.append(float(nn.functional.cross_entropy(moment.snapshot()(images), labels)))

    train(plan("baseline", batch_size=40), cnn, Batch(images, labels), TEN, seed=0, epochs=4, on_step=look)
    assert losses[1] < losses[0] / 2


def test_looking_at_a_run_does_not_change_it(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits[0][:200], digits[1][:200]

    def disturb(moment: Moment) -> None:
        torch.rand(7)
        copy = moment.snapshot()
        nn.init.zeros_(next(copy.parameters()))

    for name in ("baseline", "recipe", "supcon"):
        run = partial(train, plan(name), cnn, Batch(images, labels), TEN, seed=5, epochs=1)
        alone, watched = run(), run(on_step=disturb)
        assert of_tensors(alone.state_dict()) == of_tensors(watched.state_dict()), name


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", ["baseline", "recipe", "supcon", "pgd", "label_noise"])
@pytest.mark.parametrize("last", [0, 3, 5])
def test_a_killed_run_goes_on_to_the_same_weights(
    digits: tuple[Tensor, Tensor], tmp_path: Path, name: str, last: int
) -> None:
    images, labels = digits[0][:200], digits[1][:200]
    run = partial(train, plan(name, batch_size=50), cnn, Batch(images, labels), TEN, seed=5, epochs=2)
    seen: list[int] = []

    def save_and_die(moment: Moment) -> None:
        torch.rand(3)
        if moment.step == last:
            moment.save(tmp_path / "run.ckpt")
        if moment.step == last + 1:
            raise Killed

    with pytest.raises(Killed):
        run(on_step=save_and_die)
    torch.rand(1)
    resumed = run(resume=tmp_path / "run.ckpt", on_step=lambda moment: seen.append(moment.step))
    assert seen == list(range(last + 1, 9))
    assert of_tensors(resumed.state_dict()) == of_tensors(run().state_dict())
    assert [path.name for path in tmp_path.iterdir()] == ["run.ckpt"]


def test_a_checkpoint_of_another_run_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    run = partial(train, make_network=lambda: cnn(2), data=Batch(IMAGES, LABELS), task=TWO, epochs=1)
    run(plan("baseline"), seed=0, on_step=lambda moment: moment.save(path))
    for other in (
        partial(run, plan("mixup"), seed=0),
        partial(run, plan("baseline"), seed=1),
        partial(run, plan("baseline"), seed=0, epochs=2),
        partial(run, plan("baseline"), seed=0, data=Batch(IMAGES.flip(0), LABELS)),
    ):
        with pytest.raises(UserError, match=r"another strategy, seed, length or data"):
            other(resume=path)
    with pytest.raises(UserError, match=r"run.ckpt, but it cannot be read \(RuntimeError"):
        train(
            plan("baseline"),
            lambda: cnn(2, width=3),
            Batch(IMAGES, LABELS),
            TWO,
            epochs=1,
            seed=0,
            resume=path,
        )
    whole = path.read_bytes()
    torch.save(["another list"], path)
    with pytest.raises(UserError, match=r"run.ckpt, but it cannot be read"):
        run(plan("baseline"), seed=0, resume=path)
    for damaged in (whole[: len(whole) // 2], b"", b"no checkpoint"):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"run.ckpt, but it cannot be read"):
            run(plan("baseline"), seed=0, resume=path)
    with pytest.raises(UserError, match=r"absent.ckpt"):
        run(plan("baseline"), seed=0, resume=tmp_path / "absent.ckpt")


def test_no_epochs_are_refused() -> None:
    with pytest.raises(UserError, match="at least 1 epoch"):
        train(plan("baseline"), lambda: cnn(2), Batch(IMAGES, LABELS), TWO, seed=0, epochs=0)


def test_moments_and_reports_count_every_step() -> None:
    images, labels = torch.rand(40, 1, 8, 8), torch.arange(40) % 2
    moments: list[tuple[int, int]] = []
    reports: list[tuple[int, int]] = []
    train(
        plan("baseline", batch_size=10),
        lambda: cnn(2),
        Batch(images, labels),
        TWO,
        seed=0,
        epochs=2,
        report=lambda done, total: reports.append((done, total)),
        on_step=lambda moment: moments.append((moment.step, moment.total)),
    )
    assert moments == [(step, 8) for step in range(9)]
    assert reports == moments[1:]


def test_an_epoch_shows_every_picture_once() -> None:
    images = torch.arange(40).view(-1, 1, 1, 1).expand(-1, 1, 8, 8) / 40
    seen: list[Tensor] = []

    class Watch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            seen.append(x[:, 0, 4, 4])
            logits: Tensor = self.head(x.flatten(1))
            return logits

    train(
        plan("baseline", batch_size=8),
        Watch,
        Batch(images, torch.arange(40) % 2),
        TWO,
        seed=0,
        epochs=2,
    )
    first, second = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, images[:, 0, 0, 0]) and torch.equal(
        second.sort().values, first.sort().values
    )


@pytest.mark.parametrize(
    ("images", "labels", "classes", "says"),
    [
        (IMAGES, LABELS[:7], 2, "8 items and labels \\[7\\]"),
        (IMAGES[:0], LABELS[:0], 2, "0 items"),
        (IMAGES.double(), LABELS, 2, "float64"),
        (IMAGES[:, 0], LABELS, 2, "\\[8, 8, 8\\]"),
        (255 * IMAGES, LABELS, 2, "in \\[0, 1\\]"),
        (IMAGES * torch.nan, LABELS, 2, "nan"),
        (IMAGES, LABELS * 0, 1, "at least 2 classes"),
        (IMAGES, LABELS * 0, 2, "none of \\[1\\]"),
        (IMAGES, LABELS, 4, "none of \\[2, 3\\]"),
        (IMAGES, LABELS + 1, 2, "got \\[2\\]"),
    ],
)
def test_data_that_do_not_fit_are_refused(images: Tensor, labels: Tensor, classes: int, says: str) -> None:
    with pytest.raises(UserError, match=says):
        train(
            plan("baseline"), lambda: cnn(classes), Batch(images, labels), Classify(classes=classes), seed=0, epochs=1
        )


def test_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match=r"2 outputs.*has 5"):
        train(plan("baseline"), lambda: cnn(5), Batch(IMAGES, LABELS), TWO, seed=0, epochs=1)
    with pytest.raises(UserError, match="linear layer"):
        train(plan("baseline"), lambda: nn.Flatten(), Batch(IMAGES, LABELS), TWO, seed=0, epochs=1)


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(64, 2)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(x.flatten(1)) * torch.inf
            return logits

    with pytest.raises(UserError, match=r"finite loss.*learning_rate"):
        train(plan("baseline"), Broken, Batch(IMAGES, LABELS), TWO, seed=0, epochs=1)


def test_label_noise_changes_the_share_that_it_says(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits
    noisy = plan("label_noise", share=0.3).data(Batch(images, labels), TEN).targets
    assert int((noisy != labels).sum()) == round(0.3 * len(labels))
    assert set(noisy.tolist()) == set(range(10))


@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("linf", math.inf)])
def test_pgd_stays_in_its_ball_and_does_more_harm_than_chance(
    digits: tuple[Tensor, Tensor], norm: str, order: float
) -> None:
    images, labels = digits[0][:300], digits[1][:300]
    network = train(plan("baseline"), cnn, Batch(images, labels), TEN, seed=0, epochs=4)
    strategy = plan("pgd", norm=norm, radius=0.1 if norm == "linf" else 0.8, shift=0)
    worst = strategy.batch(network, TEN.targets(Batch(images, labels), network), TEN).x
    network.eval()
    change = (worst - images).flatten(1).norm(p=order, dim=1)
    random = images + change[:, None, None, None] * nn.functional.normalize(
        torch.randn_like(images).flatten(1), p=order
    ).view_as(images)
    with torch.no_grad():
        harm = [float(nn.functional.cross_entropy(network(x), labels)) for x in (images, random, worst)]
    assert change.max() <= strategy.params["radius"] + 1e-5
    assert harm[2] > max(harm[:2]) + 0.1


def test_mixtures_keep_the_sum_of_pictures_and_targets() -> None:
    x, y = torch.rand(6, 1, 8, 8), torch.eye(6)
    both = _mixing.mixup(Batch(x, y), 1.0)
    mixed, targets = both.x, both.targets
    torch.testing.assert_close(targets.sum(1), torch.ones(6))
    torch.testing.assert_close(targets.sum(0), torch.ones(6))
    torch.testing.assert_close(mixed.sum(0), x.sum(0))
    torch.testing.assert_close(mixed, (targets @ x.flatten(1)).view_as(x))


def test_cutmix_weighs_targets_by_the_pixels_that_are_seen() -> None:
    x = torch.arange(5.0).view(-1, 1, 1, 1).expand(-1, 1, 16, 16)
    mixed = _mixing.cutmix(Batch(x, torch.eye(5)), 1.0)
    for picture, target in zip(mixed.x, mixed.targets, strict=True):
        seen = torch.stack([(picture == value).float().mean() for value in range(5)])
        torch.testing.assert_close(seen, target)


def test_the_contrastive_loss_is_the_papers_sum() -> None:
    z, groups = torch.randn(6, 4), torch.tensor([0, 0, 1, 1, 1, 0])
    unit = z / z.norm(dim=1, keepdim=True)
    total = 0.0
    for i in range(6):
        others = [a for a in range(6) if a != i]
        positive = [p for p in others if groups[p] == groups[i]]
        below = sum(math.exp(float(unit[i] @ unit[a]) / 0.2) for a in others)
        total -= sum(math.log(math.exp(float(unit[i] @ unit[p]) / 0.2) / below) for p in positive) / len(positive)
    assert float(contrastive(z, groups, 0.2)) == pytest.approx(total / 6, rel=1e-5)


def test_the_fitted_head_is_the_logistic_regression_of_scikit_learn(digits: tuple[Tensor, Tensor]) -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = digits[0][:200].flatten(1), digits[1][:200]
    decay = 0.1
    head = fitted_head(features, labels, 10, decay=decay)
    reference = LogisticRegression(C=1 / (decay * len(labels)), max_iter=2000, tol=1e-8).fit(features, labels)
    probabilities = head(features).softmax(1).detach().numpy()
    torch.testing.assert_close(probabilities, reference.predict_proba(features).astype("float32"), atol=0.01, rtol=0)


def test_recipe_averages_the_weights_of_the_run() -> None:
    strategy = plan("recipe", decay=0.75)
    network = strategy.network(lambda: nn.Linear(1, 1, bias=False), TEN)
    batch, (weight,) = Batch(torch.zeros(1, 1)), learned(network)
    for value in (4.0, 8.0):
        nn.init.constant_(weight, value)
        strategy.after_step(network, batch, TEN)
    averaged = strategy.finish(network, batch, TEN)
    assert isinstance(averaged, nn.Linear) and averaged.weight.item() == pytest.approx(5.0)


def test_frozen_filters_learn_combinations_alone() -> None:
    strategy = plan("frozen_filters", expansion=2.0)
    network = strategy.network(lambda: cnn(3), TEN)
    frozen = {key: weight for key, weight in network.named_parameters() if not weight.requires_grad}
    assert [list(weight.shape) for weight in frozen.values()] == [
        [16, 1, 3, 3],
        [16, 8, 3, 3],
        [32, 8, 3, 3],
        [64, 16, 3, 3],
    ]
    spatial = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
    assert len(spatial) == 4


@pytest.mark.parametrize("operation", _pictures.ALL, ids=lambda operation: operation.__name__)
def test_operations_keep_the_picture_at_strength_zero(operation: _pictures.Operation) -> None:
    x = torch.rand(3, 1, 9, 9)
    torch.testing.assert_close(operation(x, torch.zeros(3)), x, atol=1 / 30, rtol=0)


@pytest.mark.parametrize("operation", _pictures.ALL[1:], ids=lambda operation: operation.__name__)
def test_operations_change_each_picture_by_its_own_strength(operation: _pictures.Operation) -> None:
    x = torch.rand(1, 1, 9, 9).expand(3, -1, -1, -1)
    changed = operation(x, torch.tensor([0.9, 0.9, 0.3]))
    assert torch.equal(changed[0], changed[1])
    assert not torch.allclose(changed[0], changed[2], atol=1e-3)


def test_shifts_move_pictures_by_at_most_what_is_said() -> None:
    x = torch.zeros(500, 1, 9, 9)
    x[:, :, 4, 4] = 1
    places = _pictures.shifted(x, 2)[:, 0].nonzero()[:, 1:] - 4
    assert set(map(tuple, places.tolist())) == {(a, b) for a in range(-2, 3) for b in range(-2, 3)}


@pytest.mark.parametrize("channels", [1, 3])
def test_fractals_are_a_fixed_set_of_different_pictures(channels: int) -> None:
    drawn = fractals(16, 16, channels)
    fractals.cache_clear()
    assert torch.equal(drawn, fractals(16, 16, channels))
    assert drawn.shape == (64, channels, 16, 16) and drawn.amin() >= 0 and drawn.amax() <= 1
    assert len(drawn.flatten(1).unique(dim=0)) == 64
    empty = (drawn.amax(1) == 0).float().mean((1, 2))
    assert (empty > 0.05).all() and (empty < 0.95).all(), "neither a point nor a full square"


def test_augmix_asks_for_one_answer() -> None:
    from scipy.spatial.distance import jensenshannon

    from outfield.strategies.augmix import _divergence

    p, q = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.2, 0.8]])
    expected = jensenshannon(p[0].numpy(), q[0].numpy()) ** 2
    assert float(_divergence([p.log(), q.log()])) == pytest.approx(expected, rel=1e-4)


def test_optics_blur_more_with_more_aberration() -> None:
    def peak(aberration: float) -> float:
        kernels = plan("optics_augment", aberration=aberration)._kernels(50)  # type: ignore[attr-defined]  # its own
        torch.testing.assert_close(kernels.sum((1, 2)), torch.ones(50))
        return float(kernels.amax((1, 2)).mean())

    assert peak(0.0) > peak(0.2) > peak(1.0)


def test_amplitude_mix_keeps_the_phases() -> None:
    x = 0.4 + 0.02 * torch.rand(6, 1, 8, 8)
    mixed = plan("amplitude_mix", most=0.5, shift=0).augment(x)
    turn = torch.fft.rfft2(mixed) * torch.fft.rfft2(x).conj()
    assert not torch.allclose(mixed, x, atol=1e-3)
    torch.testing.assert_close(
        turn.angle()[turn.abs() > 1e-3], torch.zeros(int((turn.abs() > 1e-3).sum())), atol=1e-2, rtol=0
    )


def test_randconv_keeps_mean_and_deviation() -> None:
    x = 0.5 + 0.05 * torch.randn(6, 3, 16, 16)
    changed = plan("randconv", kept=0.0, shift=0).augment(x)
    assert not torch.allclose(changed, x, atol=1e-2)
    torch.testing.assert_close(changed.mean((1, 2, 3)), x.mean((1, 2, 3)), atol=1e-3, rtol=0)
    torch.testing.assert_close(changed.std((1, 2, 3)), x.std((1, 2, 3)), atol=1e-3, rtol=0)


def test_gaussian_noise_has_the_deviation_that_it_says() -> None:
    x = torch.full((400, 1, 16, 16), 0.5)
    noisy = plan("gaussian_noise", sigma=0.1, shift=0).augment(x)
    deviation = (noisy - 0.5).flatten(1).std(1)
    assert float(deviation[deviation > 0].mean()) == pytest.approx(0.1, rel=0.03)


def test_simclr_needs_labels_for_the_head_alone(digits: tuple[Tensor, Tensor]) -> None:
    images, labels = digits[0][:200], digits[1][:200]
    bodies = [
        {
            key: weight
            for key, weight in train(plan("simclr"), cnn, Batch(images, truth), TEN, seed=0, epochs=1)
            .state_dict()
            .items()
            if not key.startswith("head")
        }
        for truth in (labels, labels.flip(0))
    ]
    assert of_tensors(bodies[0]) == of_tensors(bodies[1])
