"""Strategies of wild data, backgrounds, virtual outliers, masks and meta learning: formulas by hand, and behaviour."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from outfield.data.sources.digits import Digits
from outfield.errors import UserError
from outfield.registry import create
from outfield.strategies import Moment, Optimizers, train
from outfield.strategies._warm_up import WithAbsent, log_odds, told_apart
from outfield.strategies.ascood import ASCOOD, attributions, pushed, shuffled
from outfield.strategies.mol import MOL, adapted
from outfield.strategies.sal import SAL, gradients, projections
from outfield.strategies.scone import SCONE
from outfield.strategies.ssod import last_map, places
from outfield.strategies.unleashing_mask import UnleashingMask, flooded, mask, masked_of
from outfield.strategies.woods import WOODS, penalty
from outfield.tasks.classify import Classify
from outfield.testing.strategies import pictures, small_cnn
from outfield.types import Batch, Outputs

TASK = Classify(classes=3)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(make: Any, seed: int = 0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def linear() -> nn.Linear:
    made: nn.Linear = seeded(lambda: nn.Linear(4, 3))
    return made


def beside(role: str) -> Batch:
    wild = Batch(drawn(6, 4, seed=1), rows=torch.arange(6))
    return Batch(drawn(5, 4), torch.eye(3)[torch.arange(5) % 3], groups=torch.arange(5) % 2, streams={role: wild})


# ---- separate and learn


def test_gradients_of_the_head_are_autograds_by_the_class_that_is_predicted() -> None:
    network, x = linear(), drawn(4, 4)
    found = gradients(network, x).view(4, 3, 5)
    for row in range(4):
        logits = network(x[row : row + 1])
        loss = functional.cross_entropy(logits, logits.argmax(1))
        weight, bias = torch.autograd.grad(loss, [network.weight, network.bias])
        assert torch.allclose(found[row], torch.cat([weight, bias[:, None]], 1), atol=1e-6)


def test_scores_are_squared_projections_on_the_first_singular_vector() -> None:
    inside, wild = drawn(20, 6), drawn(30, 6, seed=1)
    centred = (wild - inside.mean(0)).double().numpy()
    vector = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    of_train, of_wild = projections(inside, wild)
    assert np.allclose(of_wild.numpy(), (centred @ vector) ** 2, rtol=1e-3, atol=1e-5)
    expected = ((inside - inside.mean(0)).double().numpy() @ vector) ** 2
    assert np.allclose(of_train.numpy(), expected, rtol=1e-3, atol=1e-5)


def test_the_loss_is_cross_entropy_and_the_logistic_loss_of_candidates() -> None:
    strategy, batch = SAL(weight=3.0), beside("wild")
    held = seeded(lambda: strategy.network(linear, TASK))
    strategy.begin(held, batch, TASK)
    held.candidates[[1, 4]] = True
    x = torch.cat([batch.x, batch.streams["wild"].x[[1, 4]]])
    odds = (held.network(x).logsumexp(1) - held.absent(x)[:, 0]).tolist()
    entropy = functional.cross_entropy(held.network(batch.x), torch.arange(5) % 3).item()
    inside = sum(math.log1p(math.exp(-one)) for one in odds[:5]) / 5
    outside = sum(math.log1p(math.exp(one)) for one in odds[5:]) / 2
    assert strategy.loss(held, batch, TASK).item() == pytest.approx(entropy + 3 * (inside + outside), rel=1e-5)


def test_the_finished_networks_energy_is_the_log_odds() -> None:
    held, x = seeded(lambda: WithAbsent(linear())), drawn(8, 4)
    odds, softmax = log_odds(*held.answers(x)), held.network(x).softmax(1)
    logits = held.folded()(x)
    scores = create("detectors", "energy").score(Outputs(logits=logits.detach()), {})
    assert torch.allclose(scores.float(), -odds, atol=1e-5)
    assert torch.allclose(logits.softmax(1), softmax, atol=1e-6)


def test_the_logistic_loss_weighs_both_kinds_alike() -> None:
    assert told_apart(torch.zeros(1), torch.zeros(9)).item() == pytest.approx(2 * math.log(2))


Tensors = tuple[torch.Tensor, torch.Tensor]


@cache
def digits(part: str, classes: tuple[int, ...] = tuple(range(8))) -> Tensors:
    found = Digits(classes=classes, part=part).load()
    x = torch.from_numpy(np.ascontiguousarray(found.read(slice(0, len(found))))).permute(0, 3, 1, 2) / 255
    return x, torch.as_tensor(np.asarray(found.labels)).long()


def network() -> nn.Module:
    made: nn.Module = create("networks", "small_cnn", classes=8)
    return made


@torch.inference_mode()
def auroc(model: nn.Module, inside: torch.Tensor, outside: torch.Tensor, detector: str = "energy") -> float:
    scores = [create("detectors", detector).score(Outputs(logits=model(x)), {}) for x in (inside, outside)]
    truth = np.repeat([0, 1], [len(inside), len(outside)])
    return float(roc_auc_score(truth, torch.cat(scores).numpy()))


def accuracy(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    with torch.inference_mode():
        return float((model(x).argmax(1) == y).float().mean())


def separated(share: float) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """A network, which wild items were candidates, and which were outliers."""
    (x, y), (known, _), (unknown, _) = digits("fit"), digits("val"), digits("fit", (8, 9))
    outliers = unknown[:: len(unknown) // 73][: round(share / (1 - share) * len(known))]
    wild, seen = torch.cat([known, outliers]), []

    def look(moment: Moment) -> None:
        if moment.step == moment.total:
            seen.append(next(one for name, one in moment.network.named_buffers() if name == "candidates").clone())

    data = Batch(x, y, streams={"wild": Batch(wild)})
    model = train(SAL(), network, data, Classify(classes=8), seed=0, epochs=12, on_step=look)
    return model, seen[0], torch.arange(len(wild)) >= len(known)


def test_candidates_are_outliers_mostly_and_most_outliers_are_candidates() -> None:
    """The bounds of the row: precision three times the base rate, recall .6, .12 of ID items, AUROC .85."""
    model, candidates, truth = separated(0.17)
    assert truth[candidates].float().mean() >= 3 * truth.float().mean()
    assert candidates[truth].float().mean() >= 0.6
    assert candidates[~truth].float().mean() <= 0.12
    x, y = digits("test")
    assert auroc(model, x, digits("test", (8, 9))[0]) >= 0.85
    assert accuracy(model, x, y) > 0.95


def test_wild_items_without_outliers_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="Expected outliers among the wild items"):
        separated(0.0)


# ---- WOODS and SCONE


def test_the_penalty_is_smooth_where_the_constraint_begins_to_act() -> None:
    multiplier, strength = torch.tensor(0.5), torch.tensor(2.0)
    edge = -multiplier / strength
    for value in (edge - 1e-4, edge + 1e-4):
        assert penalty(value, multiplier, strength).item() == pytest.approx(-0.0625, abs=1e-6)
    assert penalty(torch.tensor(0.3), multiplier, strength).item() == pytest.approx(0.5 * 0.3 + 0.3**2)


def constrained(strategy: WOODS) -> Any:
    held = seeded(lambda: strategy.network(linear, TASK))
    with torch.no_grad():
        held.slope.fill_(0.7)
        held.offset.fill_(0.4)
    held.first.fill_(0.2)
    held.multipliers[:] = torch.tensor([0.3, 0.1])
    held.strengths[:] = torch.tensor([1.5, 2.0])
    return held


def by_hand(held: Any, batch: Batch, margin: float) -> float:
    def sigmoid(value: float) -> float:
        return 1 / (1 + math.exp(-value))

    def odds(x: torch.Tensor, more: float = 0.0) -> float:
        return 0.7 * (-math.log(sum(math.exp(z) for z in held.network(x).tolist())) + more) + 0.4

    alarms = np.mean([sigmoid(odds(x)) for x in batch.x]) - 0.05
    missed = np.mean([sigmoid(-odds(x, margin)) for x in batch.streams["wild"].x])
    entropy = functional.cross_entropy(held.network(batch.x), batch.targets).item() - 2 * 0.2
    assert 1.5 * alarms + 0.3 >= 0 and 2 * entropy + 0.1 >= 0
    return float(missed + 0.3 * alarms + 1.5 / 2 * alarms**2 + 0.1 * entropy + 2 / 2 * entropy**2)


@pytest.mark.parametrize(("strategy", "margin"), [(WOODS(), 0.0), (SCONE(), 1.0), (SCONE(margin=0.5), 0.5)])
def test_the_loss_is_the_augmented_lagrangian(strategy: WOODS, margin: float) -> None:
    held, batch = constrained(strategy), beside("wild")
    assert strategy.loss(held, batch, TASK).item() == pytest.approx(by_hand(held, batch, margin), rel=1e-5)


def test_without_a_margin_scone_is_woods() -> None:
    held, batch = constrained(WOODS()), beside("wild")
    assert torch.equal(SCONE(margin=0.0).loss(held, batch, TASK), WOODS().loss(held, batch, TASK))
    assert not torch.isclose(SCONE(margin=1.0).loss(held, batch, TASK), WOODS().loss(held, batch, TASK))


def test_the_step_of_the_multipliers_is_that_by_hand() -> None:
    """A violated constraint raises its multiplier and strength; a slack one lets its multiplier fall to zero."""
    strategy, held = WOODS(rate=0.5), constrained(WOODS())
    held.sums[:] = torch.tensor([4 * 0.25, 4 * 0.1])
    held.count.fill_(4)
    strategy.update(held)  # c = (.25 - .05, .1 - .4)
    assert held.multipliers.tolist() == pytest.approx([0.3 + 0.5 * 0.2, 0.1 - 0.5 * 0.1 / 2.0])
    assert held.strengths.tolist() == pytest.approx([1.5 * 1.5, 2.0])
    assert held.count == 0 and not held.sums.any()


def test_the_first_loss_is_that_of_the_warm_ups_last_epoch() -> None:
    strategy, batch = WOODS(batch_size=5, warm_up=0.5), beside("wild")
    held = strategy.network(linear, TASK)
    strategy.begin(held, batch, TASK)
    optimizers = Optimizers({"all": strategy.optimizer(held)}, torch.Tensor.backward)  # type: ignore[dict-item]
    optimizers.total, losses = 8, []
    for optimizers.step in range(5):
        losses.append(functional.cross_entropy(held.network(batch.x), batch.targets).item())
        strategy.step(held, batch, TASK, optimizers)
    assert held.first.item() == pytest.approx(losses[3], rel=1e-5)


# ---- background as OOD


def test_places_are_id_or_ood_by_the_probability_of_the_label() -> None:
    logits = torch.tensor([[[3.0, 0.0], [0.0, 3.0], [0.1, 0.0]]])
    inside, outside = places(logits, torch.tensor([0]), 0.9)
    assert inside.tolist() == [[True, False, False]] and outside.tolist() == [[False, True, False]]


def test_the_points_of_the_last_map_have_the_heads_input_as_their_mean() -> None:
    held = seeded(lambda: WithAbsent(small_cnn())).eval()
    logits, points = last_map(held, pictures(6).x)
    assert points.shape[1] > 1
    assert torch.allclose(held.head(points.mean(1)), logits, atol=1e-5)


def test_a_network_without_a_map_is_told() -> None:
    with pytest.raises(UserError, match="Expected a last map of 4 channels"):
        last_map(WithAbsent(linear()), drawn(2, 4))


def test_ssod_is_cross_entropy_and_the_balanced_logistic_loss_of_places() -> None:
    strategy = create("strategies", "ssod", confidence=0.5, weight=2.0)
    held, data = seeded(lambda: WithAbsent(small_cnn())).eval(), pictures(6)
    batch = Batch(data.x, functional.one_hot(data.targets, 3).float())
    logits, points = last_map(held, data.x)
    inside, outside = [], []
    for row, label in enumerate(data.targets.tolist()):
        for point in points[row]:
            z = held.head(point)
            odds = (z.logsumexp(0) - held.absent(point)).item()
            (inside if z.softmax(0)[label] >= 0.5 else outside).append(odds)
    terms = [np.mean(np.log1p(np.exp(sign * np.array(some)))) for sign, some in ((-1, inside), (1, outside)) if some]
    expected = functional.cross_entropy(logits, data.targets).item() + 2 * sum(terms)
    assert strategy.loss(held, batch, TASK).item() == pytest.approx(expected, rel=1e-5)


# ---- virtual outliers


def test_shuffled_pictures_are_the_same_off_the_mask_and_have_the_same_pixels_on_it() -> None:
    x, gradient = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)), drawn(5, 3, 8, 8)
    made = seeded(lambda: shuffled(x, gradient, 0.25))
    top = gradient.exp().sum(1).flatten(1).topk(16, 1).indices
    on = torch.zeros(5, 64).scatter(1, top, 1).bool()
    flat, new = x.flatten(2), made.flatten(2)
    for row in range(5):
        assert torch.equal(new[row][:, ~on[row]], flat[row][:, ~on[row]])
        pixels = [sorted(map(tuple, one[row][:, on[row]].T.tolist())) for one in (flat, new)]
        assert pixels[0] == pixels[1]
    assert (new != flat).any(1).sum() > 5 * 8


def test_pushed_pictures_move_along_the_gradient_on_the_mask_alone() -> None:
    x, gradient = torch.zeros(4, 1, 6, 6), drawn(4, 1, 6, 6)
    made = pushed(x, gradient, 0.25, 2.0)
    moved = made != 0
    assert moved.flatten(1).sum(1).tolist() == [9] * 4
    assert torch.allclose(made[moved], 2 * gradient[moved])
    assert gradient.abs()[moved].min() >= gradient.abs()[0][~moved[0]].min()


def test_attributions_are_the_slopes_of_the_classes_logits() -> None:
    model, x = linear(), drawn(3, 4)
    assert torch.allclose(attributions(model, x, torch.eye(3)), model.weight)


def test_ascood_is_cross_entropy_and_the_divergence_from_even_answers() -> None:
    batch = beside("outliers")
    model = linear()
    shares = model(batch.streams["outliers"].x).softmax(1).detach().numpy()
    divergence = np.mean(np.sum(1 / 3 * np.log(1 / 3 / shares), axis=1))
    entropy = functional.cross_entropy(model(batch.x), batch.targets).item()
    assert ASCOOD(weight=0.4).loss(model, batch, TASK).item() == pytest.approx(entropy + 0.4 * divergence, rel=1e-5)
    assert ASCOOD(weight=0.0).loss(model, batch, TASK).item() == pytest.approx(entropy, rel=1e-6)


def test_ascoods_features_have_one_length() -> None:
    model = seeded(lambda: ASCOOD(sigma=0.5).network(small_cnn, TASK)).train()
    seen: list[torch.Tensor] = []
    head = next(module for module in reversed(list(model.modules())) if isinstance(module, nn.Linear))
    head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(pictures(6).x)
    assert torch.allclose(seen[0].std(1), torch.full((6,), 0.5), atol=1e-3)
    assert torch.allclose(seen[0].mean(1), torch.zeros(6), atol=1e-5)


@pytest.mark.parametrize("made", [lambda: ASCOOD(outliers="mix"), lambda: UnleashingMask(kind="both")])  # type: ignore[arg-type]  # the mistake
def test_a_kind_that_there_is_not_is_told(made: Any) -> None:
    with pytest.raises(UserError, match="Choose one"):
        made()


# ---- masks


def test_the_mask_takes_the_share_of_least_scores() -> None:
    scores = drawn(10, 10)
    kept = mask(scores, 0.13)
    assert int((kept == 0).sum()) == 13
    assert scores.abs()[kept == 0].max() <= scores.abs()[kept == 1].min()


def test_below_the_target_the_loss_is_ascended() -> None:
    for value, sign in ((0.2, -1.0), (0.9, 1.0)):
        loss = torch.tensor(value, requires_grad=True)
        flooded(loss, torch.tensor(0.5)).backward()  # type: ignore[no-untyped-call]  # torch's
        assert loss.grad == sign


def test_the_target_is_the_loss_of_the_training_set_with_the_mask() -> None:
    data = Batch(drawn(9, 4), torch.arange(9) % 3)
    strategy = UnleashingMask(share=0.25)
    held = seeded(lambda: strategy.network(linear, TASK))
    strategy.begin(held, data, TASK)
    strategy.prepare(held, TASK)
    scores, plain = held.scores[0].abs().flatten(), masked_of(held).network
    weight = plain.weight.detach().clone().flatten()
    weight[scores.argsort()[:3]] = 0
    logits = data.x @ weight.view(3, 4).T + plain.bias
    assert held.target.item() == pytest.approx(functional.cross_entropy(logits, data.targets).item(), rel=1e-5)


def test_a_learned_mask_zeroes_its_share_and_leaves_the_other_weights() -> None:
    strategy = UnleashingMask(kind="mask", share=0.25)
    held = seeded(lambda: strategy.network(linear, TASK))
    held.target.fill_(1.0)
    before = held.network.weight.detach().clone()
    after = strategy.finish(held, beside("wild"), TASK)
    assert int((after.weight == 0).sum()) == 3
    assert torch.equal(after.weight[after.weight != 0], before[after.weight != 0])


# ---- meta learning


def test_the_meta_loss_is_that_of_the_second_half_after_a_step_on_the_first() -> None:
    strategy, batch, model = MOL(steps=1, rate=0.1, weight=0.3, inside=-1.0, outside=-1.5), beside("outliers"), linear()

    def loss(weight: torch.Tensor, bias: torch.Tensor, rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
        z, out = batch.x[rows] @ weight.T + bias, batch.streams["outliers"].x[others] @ weight.T + bias
        inside, outside = (1.0 - z.logsumexp(1)).clamp(min=0), (out.logsumexp(1) - 1.5).clamp(min=0)
        hinges = inside.square().mean() + outside.square().mean()
        return functional.cross_entropy(z, batch.targets[rows]) + 0.3 * hinges

    found = []
    for rows in (torch.tensor([0, 2, 4]), torch.tensor([1, 3])):
        weight, bias = (one.detach().clone().requires_grad_() for one in (model.weight, model.bias))
        slopes = torch.autograd.grad(loss(weight, bias, rows[::2], torch.tensor([0, 2, 4])), [weight, bias])
        found.append(loss(weight - 0.1 * slopes[0], bias - 0.1 * slopes[1], rows[1::2], torch.tensor([1, 3, 5])).item())
    assert strategy.loss(model, batch, TASK).item() == pytest.approx(np.mean(found), rel=1e-5)


def test_no_steps_leave_the_start_and_some_lower_the_loss() -> None:
    batch, model, strategy = beside("outliers"), linear(), MOL(rate=0.1)
    same, moved = (adapted(strategy, model, batch, steps=steps) for steps in (0, 5))
    assert torch.equal(same.weight, model.weight) and same is not model
    entropy = [functional.cross_entropy(one(batch.x), batch.targets).item() for one in (model, moved)]
    assert entropy[1] < entropy[0]
    assert model.weight.grad is None
