"""The card: its numbers have a second opinion, its choice is as sure as resampling says, its files stand alone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from scipy.stats import rankdata
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn
from typer.testing import CliRunner

from outfield.card.card import Card
from outfield.card.markdown import section
from outfield.card.page import html
from outfield.card.recommendation import choose
from outfield.card.run import evaluate
from outfield.cli import app
from outfield.data.datasets import ArrayDataset, ListDataset
from outfield.data.sources.digits import Digits
from outfield.data.user_data import dataset, id_splits, ood_members
from outfield.data.views import relabelled
from outfield.errors import Problems, UserError
from outfield.features.cache import Cache, DamagedEntryWarning
from outfield.metrics._ranking import Placements, delong_difference
from outfield.registry import create
from outfield.store.performance import measures

KNOWN = tuple(range(6))
FIT, VAL, TEST = (Digits(classes=KNOWN, part=part, side=8).load() for part in ("fit", "val", "test"))
NEAR = Digits(classes=(8,), side=8).load()


def scores(seed: int = 0, n: int = 150) -> dict[str, dict[str, np.ndarray]]:
    """Three detectors on the same inputs: two alike, one worse."""
    rng = np.random.default_rng(seed)
    common = {name: rng.normal(gap, 1, n) for name, gap in {"test": 0.0, "a": 1.2, "b": 0.8, "c": 2.0}.items()}
    noise = {"first": 0.3, "second": 0.3, "third": 2.0}
    return {d: {s: v + rng.normal(0, sd, n) for s, v in common.items()} for d, sd in noise.items()}


CATEGORIES = {"a": "near", "b": "near", "c": "far"}


def mean_auroc(found: dict[str, np.ndarray], rows: dict[str, np.ndarray]) -> float:
    def one(name: str) -> float:
        ranks = rankdata(np.concatenate([found[name][rows[name]], found["test"][rows["test"]]]))
        n = len(rows[name])
        return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * len(rows["test"])))

    return (one("a") + one("b") + one("c")) / 3


def test_the_choice_is_the_best_mean_with_every_set_counting_once() -> None:
    found, given = choose(scores(), CATEGORIES), scores()
    whole = {name: np.arange(150) for name in ("test", "a", "b", "c")}
    means = {detector: mean_auroc(given[detector], whole) for detector in given}
    assert found.best == max(means, key=means.__getitem__)
    for row in found.table.iter_rows(named=True):
        assert row["mean"] == pytest.approx(means[row["detector"]], abs=1e-12)
    assert found.table["probability"].sum() == pytest.approx(1)
    assert "third" not in found.alike


def test_the_probability_of_the_choice_is_what_resampling_gives() -> None:
    given, rng = scores(), np.random.default_rng(1)
    found = choose(given, CATEGORIES)
    wins = dict.fromkeys(given, 0)
    draws: dict[str, list[float]] = {detector: [] for detector in given}
    for _ in range(300):
        rows = {name: rng.integers(0, 150, 150) for name in ("test", "a", "b", "c")}
        for detector in given:
            draws[detector].append(mean_auroc(given[detector], rows))
        wins[max(given, key=lambda d: draws[d][-1])] += 1
    for row in found.table.iter_rows(named=True):
        assert row["probability"] == pytest.approx(wins[row["detector"]] / 300, abs=0.1)
        low, high = np.quantile(draws[row["detector"]], [0.025, 0.975])
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=0.012)


def test_differences_are_delongs() -> None:
    given = {name: {key: values[key] for key in ("test", "a")} for name, values in scores().items()}
    found = choose(given, {"a": "near"})
    places = {name: Placements.of(one["test"], one["a"]) for name, one in given.items()}
    for row in found.table.filter(pl.col("detector") != found.best).iter_rows(named=True):
        expected = delong_difference(places[row["detector"]], places[found.best])
        assert row["difference"] == pytest.approx(expected.value, abs=1e-12)
        assert (row["low_difference"], row["high_difference"]) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_what_is_chosen_without_a_set_is_judged_on_it() -> None:
    given = scores()
    given["third"]["c"] = given["third"]["c"] + 50
    given["first"]["c"] = -given["first"]["c"]
    given["second"]["c"] = -given["second"]["c"]
    found = choose(given, CATEGORIES)
    assert found.best == "third" and found.without["c"][0] != "third" and found.without["c"][1] < 0.1


def test_what_the_rule_earns_on_sets_left_out_has_a_second_opinion() -> None:
    given = scores()
    given["third"]["c"] = given["third"]["c"] + 50
    given["first"]["c"], given["second"]["c"] = -given["first"]["c"], -given["second"]["c"]
    found, rng = choose(given, CATEGORIES), np.random.default_rng(2)
    picks = {name: pick for name, (pick, _) in found.without.items()}
    assert picks["a"] == picks["b"] == "third" != picks["c"], "the picks differ"

    def earned(rows: dict[str, np.ndarray]) -> float:
        weights = dict.fromkeys("abc", 1 / 3)
        each = {
            name: roc_auc_score(
                np.repeat([0, 1], 150),
                np.concatenate([given[pick]["test"][rows["test"]], given[pick][name][rows[name]]]),
            )
            for name, pick in picks.items()
        }
        return float(sum(weights[name] * each[name] for name in weights))

    assert found.held_out is not None
    assert found.held_out.value == pytest.approx(earned({name: np.arange(150) for name in ("test", "a", "b", "c")}))
    draws = [earned({name: rng.integers(0, 150, 150) for name in ("test", "a", "b", "c")}) for _ in range(300)]
    assert (found.held_out.low, found.held_out.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.012)
    assert found.held_out.value < found.table["mean"][0], "choosing and judging on the same sets flatters"
    assert choose(given, {"a": "near"}).held_out is None


def test_a_choice_needs_something_to_choose_on() -> None:
    with pytest.raises(UserError, match="a detector and an OOD set"):
        choose({}, {"a": "near"})
    with pytest.raises(UserError, match="at least two inputs of 'a'"):
        choose({"one": {"test": np.zeros(3), "a": np.zeros(1)}}, {"a": "near"})


# data


def pictures(folder: Path, data: Any, count: int = 40) -> Path:
    """A folder of pictures by class."""
    for row in range(count):
        place = folder / (str(data.classes[data.labels[row]]) if data.labels is not None else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.read(slice(row, row + 1))[0][:, :, 0]).save(place / f"{row}.png")
    return folder


def test_data_in_every_form(tmp_path: Path) -> None:
    items, labels = np.zeros((4, 3), np.float32), np.array([0, 1, 0, 1])
    np.savez(tmp_path / "set.npz", images=items, labels=labels)
    pl.DataFrame({"x": [1.0, 2.0], "label": [0, 1]}).write_csv(tmp_path / "table.csv")
    (tmp_path / "texts.jsonl").write_text('{"text": "a film", "label": 1}\n{"text": "dull", "label": 0}\n')
    assert np.array_equal(dataset(tmp_path / "set.npz").labels, labels)
    assert dataset(str(tmp_path / "table.csv")).read(slice(None)).shape == (2, 1)
    assert dataset(tmp_path / "texts.jsonl").read(slice(None)) == ["a film", "dull"]
    assert len(dataset(pictures(tmp_path / "folder", NEAR))) == 40
    assert dataset((items, labels)).labels.tolist() == [0, 1, 0, 1]
    assert dataset(["one", "two"]).labels is None
    assert dataset(TEST) is TEST
    for wrong, message in ((tmp_path / "absent", "there is none"), (3, "got int"), (tmp_path / "set.xyz", "there is")):
        with pytest.raises(UserError, match=message):
            dataset(wrong)
    (tmp_path / "set.xyz").write_text("")
    with pytest.raises(UserError, match="ending is unknown"):
        dataset(tmp_path / "set.xyz")


def test_ood_sets_in_every_form(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "letters", NEAR)
    given: dict[str, Any] = {
        "near": [folder, Digits(classes=(9,), side=8)],
        "far": {"mine": NEAR},
        "theirs": ("extreme", NEAR),
        "synthetic": ["a text", "another"],
    }
    assert [(one.name, one.category) for one in ood_members(given)] == [
        ("letters", "near"),
        ("digits", "near"),
        ("mine", "far"),
        ("theirs", "extreme"),
        ("synthetic", "synthetic"),
    ]
    for wrong, message in (
        ({}, "got none"),
        ({"nearby": NEAR}, "got 'nearby'"),
        ({"near": [folder, folder]}, "different names"),
        ({"near": {"test": NEAR}}, "none of them train, val, test"),
    ):
        with pytest.raises(UserError, match=message):
            ood_members(wrong)


def test_id_data_are_split_where_a_split_is_missing() -> None:
    parts, notes = id_splits(None, None, TEST)
    assert sum(map(len, parts.values())) == len(TEST) and "No training data were given" in notes[0]
    parts, notes = id_splits(FIT, None, TEST)
    assert len(parts["train"]) + len(parts["val"]) == len(FIT) and parts["test"] is TEST and "split off" in notes[0]
    assert id_splits(FIT, VAL, TEST)[1] == ()
    with pytest.raises(UserError, match="id_test"):
        id_splits(FIT, None, None)


# evaluate


@pytest.fixture(scope="module")
def pipe() -> Any:
    rows = FIT.read(slice(None)).reshape(len(FIT), -1)
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(rows, FIT.labels)


def made(model: Any, folder: Path, **options: Any) -> Card:
    given: dict[str, Any] = {
        "id_train": FIT,
        "id_val": VAL,
        "id_test": TEST,
        "ood": {
            "near": {"digit 8": NEAR},
            "synthetic": create("sources", "synthetic", names=("grey", "rademacher"), each=20, side=8),
        },
        "detectors": ["msp", "energy", "mds", "odin", "ash"],
        "cache": Cache(folder),
    }
    return evaluate(model, **(given | options))


@pytest.fixture(scope="module")
def card(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Card:
    return made(pipe, tmp_path_factory.mktemp("cache"), shifts=["gaussian_noise"])


def test_accuracy_and_auroc_have_a_second_opinion(card: Card, pipe: Any) -> None:
    rows = TEST.read(slice(None)).reshape(len(TEST), -1)
    assert card.estimate("accuracy")["value"] == pytest.approx(pipe.score(rows, TEST.labels))
    near = pipe.predict_proba(NEAR.read(slice(None)).reshape(len(NEAR), -1)).max(1)
    surety = np.concatenate([pipe.predict_proba(rows).max(1), near])
    auroc = roc_auc_score(np.repeat([0, 1], [len(TEST), len(NEAR)]), -surety)
    assert card.estimate("auroc", "msp", "digit 8")["value"] == pytest.approx(auroc, abs=1e-4)


def test_what_does_not_apply_is_named(card: Card) -> None:
    assert card.left_out == {"odin": "the model has no gradients of its input"}
    assert set(card.choice.table["detector"]) == {"msp", "energy", "mds", "ash"}


def test_what_detectors_warn_of_is_told(card: Card) -> None:
    assert any(note.startswith("ash: More than 1% of the activation mass is negative") for note in card.notes)


def test_shifts_and_parts_are_measured(card: Card) -> None:
    frame = card.frame()
    shifts = frame.filter(pl.col("shift") == "gaussian_noise", pl.col("metric") == "accuracy")
    assert shifts["severity"].to_list() == [1, 3, 5]
    assert set(frame["part"].drop_nulls()) == {"grey", "rademacher"}
    assert {"set", "category", "metric", "value", "low", "high"} <= set(frame.columns)


def test_a_card_of_a_regressor_says_error_and_never_accuracy(card: Card) -> None:
    of_classes = [*(set(measures(card.rows)) - {"accuracy"}), "aurc"]
    renamed = card.rows.filter(~pl.col("metric").is_in(of_classes)).with_columns(
        pl.col("metric").replace("accuracy", "mean_absolute_error"), task=pl.lit("regress")
    )
    found = Card(card.model, renamed, card.choice)
    hardest = renamed.filter(metric="mean_absolute_error", set_kind="shift")["value"].max()
    first = found.sentences[0]
    assert first.startswith("On ID data its mean absolute error is ") and "ECE" not in first
    assert f"and {hardest:.3g} under the hardest shift" in first
    for text in (html(found), section(found)):
        assert "Mean absolute error under covariate shift" in text
        told = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", text, flags=re.DOTALL)
        assert not re.findall(r".{0,30}accura.{0,30}", told, flags=re.IGNORECASE)


def test_blind_spots_are_the_sets_that_are_accepted(card: Card) -> None:
    worst = Card(card.model, card.rows, choose({"energy": scores()["first"]}, CATEGORIES))
    accepted = card.frame().filter(
        pl.col("detector") == "energy", pl.col("metric") == "fpr_at_95_id", pl.col("value") > 0.5
    )
    spots = worst.blind_spots
    assert sorted(spots.select("set", "part").rows(), key=str) == sorted(accepted.select("set", "part").rows(), key=str)
    assert (spots["accepted_then"] <= spots["accepted"]).all()
    assert spots.height, "energy overlooks the unit tests here"


def test_classes_that_are_accepted_or_turned_away(card: Card, pipe: Any) -> None:
    known = card.known_classes
    rows = TEST.read(slice(None)).reshape(len(TEST), -1)
    right = pipe.predict(rows) == TEST.labels
    for name, n, accuracy in known.select("class", "n", "accuracy").iter_rows():
        own = TEST.labels == int(name)
        assert n == own.sum() and accuracy == pytest.approx(right[own].mean())
    kept = float((known["accepted"] * known["n"]).sum() / known["n"].sum())
    assert kept == pytest.approx(0.95, abs=1 / len(TEST))
    assert card.weak_classes.is_empty(), "one set has one class, the other has parts"


def test_a_class_that_is_accepted_is_a_blind_spot(pipe: Any, tmp_path: Path) -> None:
    others = NEAR.read(slice(None))
    half = np.concatenate([others[:40], TEST.read(slice(0, 40))]) ^ np.uint8(1)
    data = ArrayDataset(half, np.repeat([0, 1], 40), ["eights", "in disguise"])
    mixed = made(pipe, tmp_path, ood={"near": {"mixed": data}}, detectors=["msp", "energy"])
    assert mixed.blind_classes["class"].to_list() == ["in disguise"]
    assert "in disguise (mixed)" in mixed.sentences[-1]
    assert "judged on the one set that it was chosen on" in mixed.sentences[1]


def test_the_hardest_inputs_are_shown(card: Card) -> None:
    titles = [group.title for group in card.hardest]
    assert titles[:3] == ["digit 8: most like ID data", "synthetic: most like ID data", "ID inputs that look foreign"]
    first = card.hardest[0].inputs[0]
    assert first.picture.startswith("data:image/png;base64,") and re.match(r"taken for \d \(\d+%\), score", first.about)
    mistakes = next(group for group in card.hardest if group.title.endswith("misjudged"))
    assert all(", is " in one.about for one in mistakes.inputs)


def test_the_page_stands_alone_and_the_json_is_whole(card: Card, tmp_path: Path) -> None:
    text = card.save(tmp_path / "card.html").read_text()
    assert not re.findall(r'(?:src|href)="https?://', text)
    for sentence in card.sentences:
        assert sentence.split(":")[0] in text.replace("&#39;", "'")
    assert "gradients of its input" in text and text.count("<img") >= 8
    assert len(text) < 3_000_000
    loaded = json.loads(card.save(tmp_path / "card.json").read_text())
    assert loaded["recommended"]["detector"] == card.recommended
    assert loaded["id"]["accuracy"]["value"] == card.estimate("accuracy")["value"]
    assert {one["detector"] for one in loaded["detectors"]} == {"msp", "energy", "mds", "ash"}
    assert loaded["detectors"][0]["sets"]["digit 8"]["auroc"]["low"] < loaded["detectors"][0]["mean"]
    assert pl.read_parquet(card.save(tmp_path / "rows.parquet")).equals(card.rows)
    with pytest.raises(UserError, match=r"card\.pdf"):
        card.save(tmp_path / "card.pdf")
    assert card.plot().to_dict()["vconcat"]


def test_limits(card: Card) -> None:
    assert card.failures({"accuracy": 0.5, "ece": 0.9, "auroc": 0.1}) == ()
    (text,) = card.failures({"accuracy": 1.01})
    assert text.startswith("accuracy on ID data is 0.") and text.endswith("below 1.01")
    assert len(card.failures({"auroc": 1.01})) == 2, "one for each OOD set"
    assert "above" in card.failures({"ece": -1})[0]
    with pytest.raises(LookupError):
        card.failures({"auroch": 1})


def test_a_torch_model_on_pictures_twice_costs_one_pass(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = create("networks", "small_cnn", classes=6, width=4).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    sampled = made(net, tmp_path, detectors=["msp", "odin"], probe_limit=60)
    assert not sampled.left_out and net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert any("at most 60 inputs" in note for note in sampled.notes)
    sizes = sampled.rows.filter(pl.col("metric") == "auroc", pl.col("part").is_null()).group_by("detector").agg("n_ood")
    assert {name: max(n) for name, n in sizes.iter_rows()} == {"msp": 174, "odin": 60}
    made(net, tmp_path, detectors=["msp"])
    entries = len(list(tmp_path.iterdir()))
    made(net, tmp_path, detectors=["msp", "energy"])
    assert len(list(tmp_path.iterdir())) == entries + 1, "the scores of energy"


def test_texts_and_their_words(tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    draw = np.random.default_rng(0)

    def texts(words: str, count: int, label: int) -> tuple[list[str], list[int]]:
        return [" ".join(draw.choice(words.split(), 5)) for _ in range(count)], [label] * count

    good, bad = texts("good fine warm bright film play", 60, 1), texts("bad dull cold dark film play", 60, 0)
    data = ListDataset(good[0] + bad[0], good[1] + bad[1])
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(data.items, data.labels)
    other = [" ".join(draw.choice(["tax", "rain", "law", "mud", "film"], 6)) for _ in range(30)]
    card = evaluate(model, id_test=data, ood={"far": other}, detectors=["msp", "mds"], cache=Cache(tmp_path))
    assert card.choice.table["mean"].max() > 0.8
    assert card.hardest[0].inputs[0].text and "No training data" in card.notes[0]
    with pytest.raises(UserError, match="pictures to shift"):
        evaluate(model, id_test=data, ood={"far": other}, shifts="standard", cache=Cache(tmp_path))


def test_faults_are_told(pipe: Any, tmp_path: Path) -> None:
    with pytest.raises(Problems, match="hold the same data"):
        made(pipe, tmp_path, ood={"near": TEST})
    with pytest.raises(UserError, match="none of those asked for does"):
        made(pipe, tmp_path, detectors=["odin"])
    with pytest.raises(UserError, match="energy several times"):
        made(pipe, tmp_path, detectors=["energy", create("detectors", "energy", temperature=2.0)])
    with pytest.raises(LookupError, match="msp"):
        made(pipe, tmp_path, detectors=["mspp"])
    with pytest.raises(UserError, match="labels"):
        made(pipe, tmp_path, id_test=relabelled(TEST, None))
    with pytest.raises(UserError, match="labels from 0 to 5"):
        made(pipe, tmp_path, id_test=relabelled(TEST, TEST.labels + 3))


# the command


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, pipe: Any) -> Path:
    folder = tmp_path_factory.mktemp("world")
    pictures(folder / "id" / "train", FIT, 150)
    pictures(folder / "id" / "test", TEST, 80)
    pictures(folder / "eights", relabelled(NEAR, None), 40)
    (folder / "net.py").write_text(
        "import torch\nfrom outfield.registry import create\n"
        "def make():\n    torch.manual_seed(0)\n    return create('networks', 'small_cnn', classes=6, width=4)\n"
    )
    return folder


def command(world: Path, *more: str, ood: str = "near=eights") -> Any:
    kind, _, name = ood.partition("=")
    given = [f"{world / 'net.py'}:make", "--id", str(world / "id"), "--ood", f"{kind}={world / name}" if name else ood]
    return CliRunner().invoke(app(), ["evaluate", *given, "--detectors", "msp,mds", *more])


def test_the_command_writes_the_card_and_keeps_limits(world: Path) -> None:
    done = command(world, "--save", str(world / "card.html"), "--json", str(world / "card.json"), "--shifts", "blur")
    assert done.exit_code == 0, done.output
    assert "No detector is recommended." in done.output and "OF0" in done.output, "the net is untrained"
    assert "head 'head' [6 classes" in done.output.replace("\n", " ")
    told = json.loads((world / "card.json").read_text())
    assert told["recommended"]["detector"] is None and told["recommended"]["first"] in ("msp", "mds")
    assert told["findings"][0]["code"] in ("OF016", "OF017", "OF018")
    assert 'id="findings"' in (world / "card.html").read_text()
    assert told["shifts"] and (world / "card.html").stat().st_size > 100_000
    done = command(world, "--hf", str(world / "README.md"))
    assert done.exit_code == 0, done.output
    assert ModelCard.load(world / "README.md").data.eval_results and "Model card:" in done.output
    failed = command(world, "--fail-under", "accuracy=.99", "--fail-under", "auroc=.1")
    assert (
        failed.exit_code == 1 and "FAIL accuracy on ID data is" in failed.output and "FAIL auroc" not in failed.output
    )


def test_the_command_takes_weights_with_their_network(world: Path) -> None:
    torch.save({"state_dict": create("networks", "small_cnn", classes=6, width=4).state_dict()}, world / "net.ckpt")
    where = ["--id", str(world / "id"), "--ood", f"near={world / 'eights'}", "--detectors", "msp"]
    named = ["--network", "small_cnn?classes=6&width=4"]
    done = CliRunner().invoke(app(), ["evaluate", str(world / "net.ckpt"), *where, *named])
    assert done.exit_code == 0 and "TorchModel('net', head 'head' [6 classes" in done.output, done.output
    failed = CliRunner().invoke(app(), ["evaluate", str(world / "net.ckpt"), *where])
    assert isinstance(failed.exception, UserError) and "--network" in str(failed.exception)


def test_the_command_trusts_the_types_that_it_is_told(tmp_path: Path) -> None:
    skops = pytest.importorskip("skops.io")
    draw = np.random.default_rng(0)
    rows, labels = draw.normal(size=(80, 2)), np.arange(80) % 2
    forest = RandomForestClassifier(3, random_state=0).fit(rows, labels)
    skops.dump(forest, tmp_path / "rf.skops")
    pl.DataFrame({"a": rows[:, 0], "b": rows[:, 1], "label": labels}).write_csv(tmp_path / "id.csv")
    pl.DataFrame({"a": rows[:, 0] + 5, "b": rows[:, 1]}).write_csv(tmp_path / "far.csv")
    given = ["evaluate", f"sklearn:{tmp_path / 'rf.skops'}", "--id", str(tmp_path / "id.csv")]
    given += ["--ood", f"far={tmp_path / 'far.csv'}", "--detectors", "msp"]
    failed = CliRunner().invoke(app(), given)
    assert isinstance(failed.exception, UserError) and "--trust sklearn.tree._tree.Tree" in str(failed.exception)
    done = CliRunner().invoke(app(), [*given, "--trust", "sklearn.tree._tree.Tree"])
    assert done.exit_code == 0, (done.output, done.exception)


@pytest.mark.parametrize(
    ("more", "ood", "message"),
    [
        (["--fail-under", "auroch=.9"], "near=eights", "auroc"),
        (["--fail-under", "auroc=high"], "near=eights", "METRIC=LIMIT"),
        (["--hf", "net.py", "--save", "card.pdf"], "near=eights", "card.pdf"),
        ([], "eights", "CATEGORY=PATH"),
        ([], "nearby=eights", "got 'nearby'"),
        ([], "near=absent", "there is none"),
    ],
)
def test_mistakes_on_the_command_line(world: Path, more: list[str], ood: str, message: str) -> None:
    failed = command(world, *more, ood=ood)
    assert isinstance(failed.exception, UserError) and message in str(failed.exception)


def test_a_head_that_is_not_linear_leaves_detectors_out(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Softmax(1))
    card = made(net, tmp_path, detectors=["msp", "react", "knn"])
    assert card.left_out["react"] == "the model has no features and no linear head"
    assert card.recommended == "msp" and "no linear head" in card.model


def flat(data) -> np.ndarray:
    """Pictures as rows of a table."""
    return np.stack([np.asarray(one, dtype=np.float64).ravel() for one in data.read(slice(0, len(data)))])


def test_an_evaluation_repeated_takes_what_was_done_and_does_what_changed(tmp_path, monkeypatch) -> None:
    from outfield.studies import bench as steps

    fitted: list[str] = []
    really = steps._fitted
    monkeypatch.setattr(steps, "_fitted", lambda job, ready: (fitted.append(job.title), really(job, ready))[1])
    made = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)).fit(flat(FIT), FIT.labels)
    data = {"id_test": (flat(TEST), TEST.labels), "id_train": (flat(FIT), FIT.labels)}

    def again(model: object = made, near: np.ndarray | None = None, detectors: object = ("msp", "energy")) -> Card:
        fitted.clear()
        found = flat(NEAR) if near is None else near
        return evaluate(model, **data, ood={"near": found}, detectors=detectors, cache=Cache(tmp_path))

    first = again()
    assert fitted == ["msp", "energy"]
    second = again()
    assert fitted == [] and second.json() == first.json()
    again(detectors=("msp", create("detectors", "energy", temperature=2.0)))
    assert fitted == ["energy"], "another parameter, another key"
    again(near=flat(NEAR)[:-5])
    assert fitted == ["msp", "energy"], "other data"
    again(make_pipeline(StandardScaler(), LogisticRegression(C=0.01)).fit(flat(FIT), FIT.labels))
    assert fitted == ["msp", "energy"], "another model"


def test_a_damaged_entry_of_a_card_is_made_again(tmp_path) -> None:
    made = LogisticRegression(max_iter=200).fit(flat(FIT), FIT.labels)
    given = {"id_test": (flat(TEST), TEST.labels), "ood": {"near": flat(NEAR)}, "detectors": ["msp"]}
    first = evaluate(made, **given, cache=Cache(tmp_path))
    scores_file = next(path for path in tmp_path.glob("*/scores.npy"))
    content = bytearray(scores_file.read_bytes())
    content[-40] ^= 1
    scores_file.write_bytes(content)
    with pytest.warns(DamagedEntryWarning, match="damaged"):
        again = evaluate(made, **given, cache=Cache(tmp_path))
    assert again.choice.table.equals(first.choice.table)
