"""Two towers: zero-shot heads, detectors that read texts, and tuning of prompts and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from outfield.data.base import Source
from outfield.data.sources.class_split import ClassSplit, split_classes
from outfield.data.sources.scenes import COLOURS, DOMAINS, SHAPES, Scenes, attributes_of
from outfield.detectors.gl_mcm import GLMCM
from outfield.detectors.mcm import MCM
from outfield.detectors.neglabel import NegLabel, least_alike
from outfield.errors import UserError
from outfield.features.fit_data import FitData
from outfield.keys import of_tensors
from outfield.models.clip import ClipModel, open_clip, towers_of
from outfield.models.open import open_model
from outfield.registry import create
from outfield.strategies import train
from outfield.strategies._averages import beta_weights
from outfield.strategies._prompts import Prompted, with_context, words_before
from outfield.strategies.baseline import Baseline
from outfield.strategies.clipood import CLIPood, with_margins
from outfield.strategies.coop import CoOp
from outfield.strategies.saft import SAFT
from outfield.tasks.classify import Classify
from outfield.types import Batch, Head, Outputs

PAIRS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)


def concepts(seed: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Six names of classes and six others."""
    drawn = np.random.default_rng(seed).permutation(len(PAIRS))[:12]
    return tuple(PAIRS[i] for i in drawn[:6]), tuple(PAIRS[i] for i in drawn[6:])


def outputs(model: ClipModel, source: Source, detector: Any = None) -> Outputs:
    data = source.load()
    x = model.prepare(data.read(slice(None)))
    with torch.inference_mode(), model.evaluating():
        out = model.forward(x)
        layers = {k: v for probe in (detector.probes() if detector else ()) for k, v in probe(model, x, out).items()}
    return out.with_fields(labels=torch.from_numpy(data.labels), layers=layers)


def separation(known: Tensor, unknown: Tensor) -> float:
    wide = (unknown[:, None] > known).double() + 0.5 * (unknown[:, None] == known).double()
    return float(wide.mean())


# scenes


def test_scenes_are_what_their_class_says_and_come_again() -> None:
    source = Scenes(classes=("red circle", "checked blue star"), n=20, domains=DOMAINS, clutter=2, seed=3)
    data, again = source.load(), source.load()
    assert np.array_equal(data.read(slice(None)), again.read(slice(None)))
    assert data.digest() != Scenes(classes=("red circle", "checked blue star"), n=20, seed=4).load().digest()
    plain = np.asarray(Scenes(classes=("plain red square",), n=40, size=(0.6, 0.6)).load().read(slice(None)))
    reds = (plain[..., 0] > 180) & (plain[..., 1] < 100)
    assert 0.05 < float(reds.mean()) < 0.5


@pytest.mark.parametrize("name", ["red cup", "red blue circle", ""])
def test_words_of_no_scene_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="words of scenes"):
        attributes_of(name)


# the mini CLIP and its adapter


def test_the_mini_clip_names_scenes_that_it_never_saw() -> None:
    model = open_clip("mini", classes=SHAPES)
    out = outputs(model, Scenes(n=400, seed=7))
    assert float((out.logits.argmax(1) == out.labels).double().mean()) > 0.85


def test_logits_are_scaled_cosines_of_pictures_and_texts() -> None:
    model = open_clip("mini", classes=["red circle", "blue square"], prompt=["a photo of a {}", "a {}"])
    x = model.prepare(Scenes(n=5).load().read(slice(None)))
    with torch.inference_mode():
        out, towers = model.forward(x), model.module.towers
        names = model.module.names
        means = towers.texts([f"a photo of a {name}" for name in names]) + towers.texts([f"a {name}" for name in names])
        expected = towers.scale * out.features @ nn.functional.normalize(means, dim=1).T
    torch.testing.assert_close(out.logits, expected)
    torch.testing.assert_close(out.features.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(model.texts(["red circle"])[0], nn.functional.normalize(out.head.weight[0], dim=0))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"classes": ["cup", "sky"]}, "cup"),
        ({"classes": []}, "at least two"),
        ({"classes": SHAPES, "prompt": "a"}, "{}"),
    ],
)
def test_what_the_mini_clip_cannot_read_is_told(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        open_model("clip:mini", **options)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of transformers with random weights, as ``save_pretrained`` writes it."""
    transformers = pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("clip")
    letters = [*"abcdefghijklmnopqrstuvwxyz"]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (place / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}), encoding="utf-8")
    (place / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    transformers.CLIPTokenizer(str(place / "vocab.json"), str(place / "merges.txt")).save_pretrained(place)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**size, "vocab_size": len(tokens), "eos_token_id": len(tokens) - 1, "bos_token_id": len(tokens) - 2}
    config = transformers.CLIPConfig(
        text_config=text, vision_config={**size, "image_size": 24, "patch_size": 8}, projection_dim=16
    )
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(place)
    edges = {"size": {"shortest_edge": 24}, "crop_size": {"height": 24, "width": 24}}
    transformers.CLIPImageProcessor(**edges).save_pretrained(place)
    return place


def test_a_clip_of_transformers_answers_as_it_does_itself(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model: Any = open_model(f"clip:{folder}", classes=["cat", "zebra"], prompt="photo of {}")
    pictures = Scenes(n=4).load().read(slice(None))
    x = model.prepare(pictures)
    clip = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    given = tokenizer(["photo of cat", "photo of zebra"], padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = clip(pixel_values=x, **given).logits_per_image
        torch.testing.assert_close(model.forward(x).logits, expected, rtol=1e-4, atol=1e-4)
    assert model.regions(x).shape == (4, 9, 16)


def test_a_context_of_words_reads_as_the_words_do(folder: Path) -> None:
    for towers, text, name in (
        (towers_of(str(folder)), "photo of", "cat"),
        (towers_of("mini"), "a photo of a", "star"),
    ):
        with torch.no_grad():
            names, there = towers.words([name])
            tuned = with_context(towers, words_before(towers, text), names, there)
            torch.testing.assert_close(tuned, towers.texts([f"{text} {name}"]), rtol=1e-4, atol=1e-5)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    config.save_pretrained(tmp_path)
    with pytest.raises(UserError, match="holds a bert"):
        open_model(f"clip:{tmp_path}", classes=["cat", "dog"])


# NegLabel and GL-MCM


def hand(words: int) -> tuple[Outputs, FitData]:
    chance = torch.Generator().manual_seed(0)
    out = Outputs(
        features=torch.randn(20, 6, generator=chance), head=Head(torch.randn(3, 6, generator=chance), torch.zeros(3))
    )
    texts = nn.functional.normalize(torch.randn(words, 6, generator=chance), dim=1)
    return out, FitData.of(out, encoder=lambda asked: texts[: len(asked)])


def test_neglabel_is_the_mean_over_groups_of_the_share_of_negatives() -> None:
    out, data = hand(8)
    detector = NegLabel(words=tuple("abcdefgh"), share=1.0, groups=4, temperature=0.5)
    state = detector.fit(data)
    features, classes, negatives = (
        value.double().numpy() / np.linalg.norm(value.double().numpy(), axis=1, keepdims=True)
        for value in (out.features, out.head.weight, state["negatives"])
    )
    known = np.exp(features @ classes.T / 0.5).sum(1)
    unknown = np.exp(features @ negatives.T / 0.5)
    shares = [unknown[:, g::4].sum(1) / (known + unknown[:, g::4].sum(1)) for g in range(4)]
    np.testing.assert_allclose(detector.score(out, state).numpy(), np.mean(shares, axis=0), rtol=1e-5)


def test_one_group_is_the_formula_without_groups() -> None:
    out, data = hand(8)
    detector = NegLabel(words=tuple("abcdefgh"), share=1.0, groups=1, temperature=0.5)
    state = detector.fit(data)
    cosines = (
        nn.functional.normalize(out.features, dim=1)
        @ torch.cat([nn.functional.normalize(out.head.weight, dim=1), state["negatives"]]).T
    )
    expected = (cosines.double() / 0.5).softmax(1)[:, 3:].sum(1)
    torch.testing.assert_close(detector.score(out, state), expected, rtol=1e-5, atol=1e-6)


def test_mined_words_are_less_like_the_classes_than_others() -> None:
    _, data = hand(40)
    texts, classes = data.texts(["w"] * 40), nn.functional.normalize(data.head.weight, dim=1)
    chosen = least_alike(texts, data.head.weight, share=0.2, percentile=1.0)
    alike = (texts @ classes.T).amax(1)
    assert len(chosen) == 8
    assert alike[chosen].max() < alike.mean()
    assert alike[chosen].max() <= alike.sort().values[8]


def test_regions_without_weight_rank_as_mcm_does() -> None:
    model = open_clip("mini", classes=SHAPES)
    out = outputs(model, Scenes(n=40, clutter=2), GLMCM())
    plain, none = MCM().score(out, {}), GLMCM(weight=0.0).score(out, {})
    torch.testing.assert_close(1 + none, plain, rtol=1e-5, atol=1e-6)
    (probe,) = GLMCM().probes()
    mixed = out.with_fields(layers={probe.key: out.layers[probe.key].flip(1)})
    torch.testing.assert_close(GLMCM().score(mixed, {}), GLMCM().score(out, {}))


# tuning


NAMES = ("red circle", "blue square", "green star")


def network() -> Any:
    made: Any = create("networks", "clip", classes=3, names=NAMES)
    return made


def scenes(n: int = 24, seed: int = 0, domains: tuple[str, ...] = ("dark",)) -> Batch:
    data = Scenes(classes=NAMES, n=n, seed=seed, domains=domains).load()
    x = torch.from_numpy(np.asarray(data.read(slice(None)))).permute(0, 3, 1, 2).float() / 255
    return Batch(x.contiguous(), torch.from_numpy(data.labels))


def test_prompts_alone_are_tuned() -> None:
    after: Any
    before, after = network(), train(CoOp(batch_size=12, epochs=2), network, scenes(), Classify(classes=3), seed=0)
    assert of_tensors(before.towers.state_dict()) == of_tensors(after.towers.state_dict())
    assert not torch.equal(before.head.weight, after.head.weight)


def test_coop_begins_as_the_zero_shot_classifier() -> None:
    with torch.no_grad():
        x = scenes().x
        torch.testing.assert_close(Prompted(network(), "a photo of a")(x), network()(x), rtol=1e-4, atol=1e-4)


def test_a_network_without_texts_is_told_from_one_with() -> None:
    with pytest.raises(UserError, match="one for texts"):
        train(
            CoOp(),
            lambda: create("networks", "small_cnn", classes=3, channels=3),
            scenes(),
            Classify(classes=3),
            seed=0,
        )


def test_no_margin_is_cross_entropy_of_cosines() -> None:
    cosines, labels = torch.rand(5, 3), torch.tensor([0, 1, 2, 0, 1])
    texts = nn.functional.normalize(torch.rand(3, 4), dim=1)
    assert torch.equal(with_margins(cosines, texts, labels, 0.0), cosines)
    moved = with_margins(cosines, texts, labels, 0.3)
    torch.testing.assert_close(moved[0, 2] - cosines[0, 2], 0.3 * (1 - texts[0] @ texts[2]))
    torch.testing.assert_close(moved[0, 0], cosines[0, 0])


def test_weights_of_the_beta_average_are_a_u_of_sum_one() -> None:
    weights = beta_weights(20, 0.5)
    assert abs(float(weights.sum()) - 1) < 1e-12
    assert weights.argmin() == 10
    assert weights[0] == pytest.approx(float(weights[-1]))
    assert torch.all(weights[:10].diff() < 0)
    torch.testing.assert_close(beta_weights(4, 1.0), torch.full((5,), 0.2, dtype=torch.float64))


def test_the_running_average_is_the_weighted_mean_of_all_steps() -> None:
    seen: list[Tensor] = []
    plan = CLIPood(batch_size=12, epochs=2, learning_rate=1e-3)

    class Watched(CLIPood):
        def after_step(self, network: Any, batch: Batch, task: Any) -> None:
            seen.append(network.network.towers.projection.weight.detach().clone())

    start = network().towers.projection.weight.detach().clone()
    watched = Watched(**plan.params)
    found: Any = train(watched, network, scenes(), Classify(classes=3), seed=0)
    weights = beta_weights(len(seen), plan.beta)
    expected = sum(float(weight) * one.double() for weight, one in zip(weights, [start, *seen], strict=True))
    torch.testing.assert_close(found.towers.projection.weight.double(), expected, rtol=1e-5, atol=1e-7)
    assert torch.equal(found.head.weight, network().head.weight)


def changed(strategy: Any) -> tuple[int, int]:
    start, end = network(), train(strategy, network, scenes(), Classify(classes=3), seed=0)
    pairs = [(one, two) for one, two in zip(start.parameters(), end.parameters(), strict=True) if one.requires_grad]
    return sum(int((one != two).sum()) for one, two in pairs), sum(one.numel() for one, _ in pairs)


@pytest.mark.parametrize("share", [0.001, 0.02])
def test_exactly_the_share_of_weights_changes(share: float) -> None:
    moved, whole = changed(SAFT(share=share, learning_rate=0.01, batch_size=12, epochs=2, weight_decay=0.01))
    assert moved == -(-int(share * whole * 1000) // 1000) or moved == int(np.ceil(share * whole))


def test_all_weights_are_plain_fine_tuning() -> None:
    given: dict[str, Any] = {"weight_decay": 0.0, "batch_size": 12, "epochs": 2, "learning_rate": 0.01}
    one, two = (
        train(strategy, network, scenes(), Classify(classes=3), seed=0)
        for strategy in (SAFT(share=1.0, **given), Baseline(**given))
    )
    assert of_tensors(one.state_dict()) == of_tensors(two.state_dict())


# what the methods are for, on concepts that the classes leave out


def auroc_of(detector: Any, model: ClipModel, known: Scenes, unknown: Scenes) -> float:
    inside, outside = outputs(model, known, detector), outputs(model, unknown, detector)
    state = detector.fit(FitData.of(inside, encoder=model.texts)) if detector.fits_on else {}
    return separation(detector.score(inside, state), detector.score(outside, state))


def test_negative_words_tell_held_out_concepts_at_least_as_well_as_mcm() -> None:
    """Mean of 5 seeds: .997 against .990; with the paper's share of .15, of 360 phrases here, .989."""
    found = []
    for seed in range(5):
        inside, outside = concepts(seed)
        model = open_clip("mini", classes=inside)
        known = Scenes(classes=inside, n=120, seed=seed, clutter=1)
        unknown = Scenes(classes=outside, n=120, seed=seed + 50, clutter=1)
        found.append([auroc_of(one, model, known, unknown) for one in (NegLabel("scenes", share=0.5), MCM())])
    negative, plain = np.mean(found, axis=0)
    assert negative >= plain
    assert negative > 0.99


BY_COLOUR = {colour: tuple(f"{colour} {shape}" for shape in SHAPES) for colour in COLOURS}


def sides(kind: str, seed: int) -> list[ClassSplit]:
    whole = Scenes(classes=PAIRS, n=64 * 4, seed=seed)
    return [ClassSplit(whole, kind, side, hierarchy=BY_COLOUR, seed=seed) for side in ("id", "ood")]


@pytest.mark.parametrize("kind", ["sibling", "random"])
def test_sides_of_a_split_have_no_class_and_no_picture_in_common(kind: str) -> None:
    inside, outside = (side.load() for side in sides(kind, seed=0))
    assert inside.classes is not None
    assert outside.classes is not None
    assert len(inside.classes) == len(outside.classes) == 6
    assert not set(inside.classes) & set(outside.classes)
    assert not set(inside.row_keys) & set(outside.row_keys)  # type: ignore[attr-defined]
    if kind == "sibling":
        assert {name.split()[0] for name in outside.classes} == {name.split()[0] for name in inside.classes}


def test_siblings_are_harder_to_tell_than_classes_at_random_and_other_domains_make_it_harder() -> None:
    """Mean of 5 seeds: siblings .95, at random .99; with pictures of other domains counted as ID, lower in all."""
    found: dict[str, list[float]] = {"sibling": [], "random": []}
    for seed in range(5):
        for kind, scores in found.items():
            names, others = split_classes(PAIRS, kind, 6, BY_COLOUR, seed)
            inside, outside = Scenes(names, n=120, seed=seed), Scenes(others, n=120, seed=seed + 50)
            shifted = Scenes(names, n=120, seed=seed + 9, domains=("bright", "faded", "outline"))
            model = open_clip("mini", classes=names)
            known, unknown, other = (MCM().score(outputs(model, one), {}) for one in (inside, outside, shifted))
            scores.append(separation(known, unknown))
            assert separation(torch.cat([known, other]), unknown) <= scores[-1]
    assert np.mean(found["sibling"]) < np.mean(found["random"]) - 0.01


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": "near"}, "kind 'sibling'"),
        ({"count": 40}, "40 classes"),
        ({"hierarchy": {"red": ["red cup"]}}, "red cup"),
    ],
)
def test_a_split_that_cannot_be_made_is_told(options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        ClassSplit(Scenes(classes=PAIRS, n=64), **options).load()
