"""What detectors say and do at the edges of what they were made for."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from outfield.detectors.base import Detector
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.registry import create
from outfield.types import Head, Outputs


def outputs(n: int = 60, classes: int = 3, dim: int = 8, seed: int = 0, shift: float = 0.0) -> Outputs:
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    features = torch.randn(n, dim, generator=rng).abs() + 3 * torch.eye(classes, dim)[labels] + shift
    head = Head(torch.eye(classes, dim), torch.zeros(classes))
    return Outputs(head(features), features, labels, head)


@pytest.mark.parametrize("name", ["ash", "scale", "lts"])
def test_signed_features_are_warned_about(name: str) -> None:
    detector = create("detectors", name)
    with pytest.warns(UserWarning, match="after a ReLU"):
        scores = detector.score(outputs(shift=-2.0), {})
    assert torch.isfinite(scores).all()


def test_a_trace_of_negative_mass_is_passed_over() -> None:
    out = outputs()
    features = out.features.clone()
    features[0, 0] = -0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create("detectors", "scale").score(Outputs(features=features, head=out.head), {})


@pytest.mark.parametrize("name", ["ash", "scale", "lts"])
def test_a_row_without_mass_is_not_scaled(name: str) -> None:
    out = outputs()
    nothing = Outputs(out.logits[:1], torch.zeros(1, 8), head=out.head)
    expected = -torch.logsumexp(nothing.logits if name == "lts" else out.head(nothing.features), dim=1)
    torch.testing.assert_close(create("detectors", name).score(nothing, {}), expected)


def test_negative_energies_are_warned_about() -> None:
    out = outputs()
    low = Outputs(out.logits - 50, out.features, out.labels, out.head)
    with pytest.warns(UserWarning, match="energies of zero or below"):
        create("detectors", "nnguide").fit(FitData.of(low))


def test_classes_of_equal_weights_have_no_boundary() -> None:
    out = outputs()
    weight = out.head.weight.clone()
    weight[2] = weight[1]
    twins = Outputs(out.logits, out.features, out.labels, Head(weight, out.head.bias))
    detector = create("detectors", "fdbd")
    assert torch.isfinite(detector.score(twins, detector.fit(FitData.of(twins)))).all()


@pytest.mark.parametrize("name", ["vim", "residual"])
def test_the_principal_space_is_smaller_than_the_features(name: str) -> None:
    data = FitData.of(outputs())
    with pytest.raises(UserError, match="Choose d below 8"):
        create("detectors", name, d=8).fit(data)
    assert create("detectors", name, d=1000).clipped(data).params == {"d": 7}
    assert create("detectors", name).clipped(data).params == {"d": 4}


def flat(rank: int, dim: int = 8) -> Outputs:
    """Outputs whose features span ``rank`` dimensions."""
    out = outputs(dim=dim)
    return Outputs(out.logits, out.features * (torch.arange(dim) < rank), out.labels, out.head)


@pytest.mark.parametrize("name", ["vim", "residual"])
@pytest.mark.parametrize(("d", "rank", "expected"), [(None, 5, 4), (None, 4, 2), (6, 7, 6), (6, 6, 5), (6, 3, 2)])
def test_dead_features_leave_the_principal_space_by_their_rank(
    name: str, d: int | None, rank: int, expected: int
) -> None:
    data = FitData.of(flat(rank))
    detector = create("detectors", name, d=d)
    assert detector.clipped(data).params == {"d": expected}
    state = detector.fit(data)
    assert state["null_space"].shape == (8, 8 - expected)
    assert torch.equal(state["null_space"], detector.clipped(data).fit(data)["null_space"])
    scores = detector.score(flat(rank), state)
    assert torch.isfinite(scores).all()
    alive = outputs()
    assert detector.score(alive, state).mean() > scores.mean(), "what wakes dead features is further out"


@pytest.mark.parametrize("name", ["vim", "residual"])
def test_features_on_a_line_have_no_principal_space(name: str) -> None:
    with pytest.raises(UserError, match="span two dimensions or more .* they span 1"):
        create("detectors", name).fit(FitData.of(flat(1)))


@pytest.mark.parametrize("name", ["she", "openmax"])
def test_a_class_that_is_never_right_is_named(name: str) -> None:
    out = outputs()
    wrong = Outputs(out.logits, out.features, torch.where(out.labels == 1, 0, out.labels), out.head)
    with pytest.raises(UserError, match="predicts right, but class 1 has none"):
        create("detectors", name).fit(FitData.of(wrong))


def test_temperature_finds_its_limits() -> None:
    detector, out = create("detectors", "temp_scale"), outputs()
    sure = Outputs(5 * torch.eye(3)[out.labels], labels=out.labels)
    lost = Outputs(-sure.logits, labels=out.labels)
    assert detector.fit(FitData.of(out, sure))["temperature"].item() == pytest.approx(0.05)
    assert detector.fit(FitData.of(out, lost))["temperature"].item() == pytest.approx(20)


def test_banks_follow_the_papers_rule() -> None:
    class Many:
        def __init__(self, n: int) -> None:
            self.n = n

        def __iter__(self) -> Any:
            return outputs().chunks()

        def __len__(self) -> int:
            return self.n

    small, large = FitData(Many(60)), FitData(Many(1_281_167))
    assert create("detectors", "knn").clipped(small).params == {"k": 50, "share": 1.0, "seed": 0}
    assert create("detectors", "knn", k=1000).clipped(small).params["k"] == 60
    assert create("detectors", "knn").clipped(large).params == {"k": 50, "share": 0.01, "seed": 0}
    assert create("detectors", "nnguide").clipped(small).params["k"] == 10
    assert create("detectors", "nnguide").clipped(large).params["k"] == 100


def test_the_settings_of_gen_are_clipped_to_the_classes() -> None:
    settings = create("detectors", "gen").variants(FitData.of(outputs()))
    assert {setting.params["m"] for setting in settings} == {3}
    assert len(settings) == 7


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ash", {"variant": "x"}, "'s', 'b' or 'p', but got 'x'"),
        ("ash", {"percentile": 101}, "percentile of ASH from 0 to 100, but got 101"),
        ("adascale", {"p_min": 90.0}, "p_min up to p_max"),
        ("vra", {"low": 0.95}, "low up to high"),
        ("knn", {"k": "many"}, "k of KNN from 1 to 1e"),
    ],
)
def test_parameters_that_make_no_sense_are_named(name: str, params: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        create("detectors", name, **params)


def test_lists_from_files_become_tuples() -> None:
    detector: Detector = create("detectors", "gram", layers=["a", "b"])
    assert detector == replace(detector, layers=("a", "b"))
    assert hash(detector) == hash(replace(detector, layers=("a", "b")))


def test_settings_of_one_map_share_its_components(monkeypatch: pytest.MonkeyPatch) -> None:
    from outfield.detectors import corp

    calls: list[int] = []
    computed = corp._components
    monkeypatch.setattr(corp, "_components", lambda *args: (calls.append(1), computed(*args))[1])
    data = FitData.of(outputs())
    for setting in create("detectors", "corp", m=16).variants(data):
        setting.fit(data)
    assert len(calls) == 3


NEW = (
    "conjnorm", "gmm", "grood", "heat", "igeood", "isolation_forest", "lof", "mcm", "mdspp", "nac", "one_class_svm",
    "optfs", "rmdspp", "scod", "sirc", "trust_score", "wdiscood", "weiper",
)  # fmt: skip


def constant() -> Outputs:
    """Features that are all one, logits of the label."""
    out = outputs()
    return Outputs(torch.eye(3)[out.labels], torch.ones_like(out.features), out.labels, out.head)


def repeated() -> Outputs:
    """Three rows, each twenty times."""
    rows = torch.arange(3).repeat(20)
    return outputs()[rows]


def with_dead_neurons() -> Outputs:
    out = outputs()
    return Outputs(out.logits, out.features * (torch.arange(8) < 4), out.labels, out.head)


ODD = {
    "constant": constant,
    "repeated": repeated,
    "dead neurons": with_dead_neurons,
    "two classes": lambda: outputs(classes=2),
    "a row a class": lambda: outputs(n=3),
    "more features than rows": lambda: outputs(n=12, dim=64),
    "one feature": lambda: outputs(dim=1, classes=2),
    "signed": lambda: outputs(shift=-4.0),
    "tiny": lambda: outputs().map(lambda values: values * 1e-12 if values.is_floating_point() else values),
    "huge": lambda: outputs().map(lambda values: values * 1e12 if values.is_floating_point() else values),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", NEW)
def test_odd_training_rows_give_finite_scores_from_a_saved_state(name: str, kind: str) -> None:
    train = ODD[kind]()
    data = FitData.of(train, train)
    small = {"heat": {"epochs": 1}, "isolation_forest": {"trees": 10}, "weiper": {"repeats": 10}}
    detector = create("detectors", name, **small.get(name, {})).clipped(data)
    state = load(save({key: value.contiguous() for key, value in detector.fit(data).items()}))
    found = detector.score(train, state)
    assert torch.isfinite(found).all() and len(found) == len(train)


BY_CLASS = ("conjnorm", "gmm", "grood", "heat", "igeood", "mdspp", "rmdspp", "trust_score", "wdiscood")


@pytest.mark.parametrize("name", BY_CLASS)
def test_a_class_without_rows_is_named(name: str) -> None:
    out = outputs()
    known = out[out.labels != 1]
    detector, data = create("detectors", name), FitData.of(known, known)
    with pytest.raises(UserError, match="class 1"):
        detector.clipped(data).fit(data)


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e25])
def test_a_trust_score_does_not_depend_on_the_unit(scale: float) -> None:
    train, test = (outputs(seed=seed) for seed in (0, 1))
    detector = create("detectors", "trust_score").clipped(data := FitData.of(train))
    plain = detector.score(test, detector.fit(data))
    scaled = FitData.of(train.with_fields(features=train.features * scale))
    found = detector.score(test.with_fields(features=test.features * scale), detector.fit(scaled))
    torch.testing.assert_close(found, plain, rtol=1e-5, atol=1e-6)


def test_a_tail_that_is_all_of_a_class_turns_openmax_round() -> None:
    rng = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 20
    known, test = (6 * torch.eye(20)[labels] + torch.randn(400, 20, generator=rng) for _ in range(2))
    far = 3 * torch.eye(20)[labels] + torch.randn(400, 20, generator=rng)
    data = FitData.of(Outputs(logits=known, labels=labels))
    means = {}
    for tail in (3, 20):
        detector = create("detectors", "openmax", tail=tail)
        state = detector.fit(data)
        near, out = (detector.score(Outputs(logits=some), state) for some in (test, far))
        means[tail] = float((out[:, None] > near).double().mean())
    assert means[3] > 0.7
    assert means[20] < 0.5
