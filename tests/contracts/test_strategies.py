"""What every strategy keeps, found by name."""

from __future__ import annotations

import json
import random
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from outfield.errors import UserError
from outfield.keys import of_tensors
from outfield.registry import create, names
from outfield.strategies import FAMILIES, Moment, Strategy, train
from outfield.tasks.classify import Classify
from outfield.types import Batch

STRATEGIES = names("strategies")
CLASSES = 3
TASK = Classify(classes=CLASSES)


def tiny(n: int = 36, side: int = 12) -> Batch:
    """Bars at a height that tells the class."""
    chance = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % CLASSES
    images = 0.3 * torch.rand(n, 1, side, side, generator=chance)
    for row, label in enumerate(labels.tolist()):
        images[row, 0, 4 * label + 1 : 4 * label + 3] += 0.6
    return Batch(images, labels)


def network() -> nn.Module:
    made = create("networks", "small_cnn", classes=CLASSES, width=4)
    assert isinstance(made, nn.Module)
    return made


def strategy(name: str) -> Strategy:
    made = create("strategies", name, batch_size=12)
    assert isinstance(made, Strategy)
    return made


def trained(name: str, seed: int = 0, epochs: int = 1) -> nn.Module:
    return train(strategy(name), network, tiny(), TASK, seed=seed, epochs=epochs)


@pytest.mark.parametrize("name", STRATEGIES)
def test_gives_a_classifier_in_evaluation_mode(name: str) -> None:
    classifier = trained(name)
    assert not any(module.training for module in classifier.modules())
    linear = [module for module in classifier.modules() if isinstance(module, nn.Linear)][-1]
    seen = []
    linear.register_forward_hook(lambda module, args, output: seen.append(output))
    logits = classifier(tiny().x)
    assert logits.shape == (36, CLASSES) and logits.isfinite().all()
    assert torch.equal(seen[-1], logits), "the last linear layer gives the logits"


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_weights_fit_into_the_architecture_that_it_names(name: str) -> None:
    classifier, again = trained(name), strategy(name).architecture(network, TASK)
    again.load_state_dict(classifier.state_dict())
    assert torch.equal(again.eval()(tiny().x), classifier(tiny().x))


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_seed_decides_the_weights(name: str) -> None:
    digests = []
    for seed in (1, 1, 2):
        torch.rand(1)  # whatever the global random state is
        digests.append(of_tensors(trained(name, seed).state_dict()))
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.parametrize("name", STRATEGIES)
def test_leaves_the_global_random_state_and_the_threads_alone(name: str) -> None:
    def state() -> list[object]:
        legacy = np.random.get_state(legacy=False)  # noqa: NPY002 - this state is what is guarded
        return [torch.get_rng_state().tolist(), repr(legacy), random.getstate()]

    before, threads = state(), torch.get_num_threads()
    trained(name)
    assert state() == before
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", STRATEGIES)
def test_does_not_change_its_data(name: str) -> None:
    data = tiny()
    train(strategy(name), network, data, TASK, seed=0, epochs=1)
    assert torch.equal(data.x, tiny().x) and torch.equal(data.targets, tiny().targets)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_loss_is_finite_and_reaches_every_learned_weight(name: str) -> None:
    plan = strategy(name)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        data = plan.data(tiny(), TASK)
        module = plan.network(network, TASK).train()
        batch = plan.batch(module, TASK.targets(data, module), TASK)
        assert batch.x.amin() >= 0 and batch.x.amax() <= 1, "pictures stay in [0, 1]"
        loss = plan.loss(module, batch, TASK)
    loss.backward()
    assert loss.isfinite() and loss.ndim == 0
    assert all((weight.grad is not None) == weight.requires_grad for weight in module.parameters())


@pytest.mark.parametrize("name", STRATEGIES)
def test_frozen_weights_stay_as_they_were_drawn(name: str) -> None:
    seen: list[dict[str, Tensor]] = []

    def look(moment: Moment) -> None:
        if moment.step in (0, moment.total):
            seen.append({key: w for key, w in moment.snapshot().named_parameters() if not w.requires_grad})

    train(strategy(name), network, tiny(), TASK, seed=0, epochs=1, on_step=look)
    first, last = seen
    assert first.keys() == last.keys()
    assert bool(first) == (strategy(name).family == "freezing")
    assert all(torch.equal(first[key], last[key]) for key in first)


@pytest.mark.parametrize("name", STRATEGIES)
def test_parameters_survive_json(name: str) -> None:
    plan = strategy(name)
    assert create("strategies", name, **json.loads(json.dumps(plan.params))) == plan
    assert plan.family in FAMILIES


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_parameter_out_of_range_is_refused(name: str) -> None:
    plan = strategy(name)
    own = [f.name for f in fields(plan) if isinstance(getattr(plan, f.name), float)]
    for field in own:
        with pytest.raises(UserError, match=field):
            create("strategies", name, **{field: -1.0})


@pytest.mark.parametrize("name", STRATEGIES)
def test_trains_with_fewer_pictures_than_a_batch_and_classes_of_unequal_size(name: str) -> None:
    classifier = train(create("strategies", name), network, tiny(7), TASK, seed=0, epochs=1)
    assert classifier(tiny(7).x).isfinite().all()


@pytest.mark.parametrize("name", STRATEGIES)
def test_trains_on_colour(name: str) -> None:
    grey = tiny(12)
    classifier = train(
        strategy(name),
        lambda: create("networks", "small_cnn", classes=CLASSES, channels=3, width=4),
        Batch(grey.x.expand(-1, 3, -1, -1), grey.y),
        TASK,
        seed=0,
        epochs=1,
    )
    assert classifier(torch.rand(2, 3, 12, 12)).shape == (2, CLASSES)


def test_every_family_has_a_strategy() -> None:
    families = {strategy(name).family for name in STRATEGIES}
    assert families == set(FAMILIES)
