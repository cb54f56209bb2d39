"""A study of texts: an encoder with a linear head, probed and fine-tuned, as any study of pictures is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from outfield.models.networks.text_encoder import TextEncoder
from outfield.models.pairs import PairClassifier
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.spec import Spec
from tests.contracts import frameworks

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers, when it is imported
pytest.importorskip("tokenizers")

WORDS = frameworks.WORDS


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hf = frameworks.transformers()
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    frameworks.bert(hf).bert.save_pretrained(folder)
    frameworks.tokenizer(hf).save_pretrained(folder)
    return folder


TEXTS = (" ".join(WORDS[:6]), WORDS[0], " ".join(WORDS[2:5]))


def test_features_are_the_mean_over_the_tokens_of_a_text_alone(bert: Path) -> None:
    network = TextEncoder(str(bert), 3, seed=0).eval()
    model = PairClassifier(network)
    assert model.offers == {"logits", "features", "head"}
    with torch.inference_mode():
        found = model.forward(model.prepare(list(TEXTS)))
        for row, text in enumerate(TEXTS):
            alone = network.tokenizer(text, return_tensors="pt")
            hidden = network.module.body(**alone).last_hidden_state[0]
            torch.testing.assert_close(found.features[row], hidden.mean(dim=0), atol=1e-5, rtol=0)
            logits = network.module.head(hidden.mean(dim=0))
            torch.testing.assert_close(found.logits[row], logits, atol=1e-5, rtol=0)


def test_a_pair_has_two_segments_and_a_text_one(bert: Path) -> None:
    network = TextEncoder(str(bert), 3)
    single, pair = network.encode((TEXTS[0], "")), network.encode((TEXTS[0], TEXTS[1]))
    assert set(single.types) == {0} and set(pair.types) == {0, 1}
    assert single.ids == network.tokenizer(TEXTS[0])["input_ids"]


def study(bert: Path, folder: Path) -> dict[str, Any]:
    """Intents that a word tells, in the form of CLINC150, and texts of other words."""

    def rows(start: int, n: int, of: int) -> list[list[str]]:
        numbers = range(start, start + n)
        return [[f"{WORDS[i % of]} {WORDS[3 + i % 4]} {WORDS[i // 4 % 7]} {i}", f"intent {i % of}"] for i in numbers]

    parts = {"train": rows(0, 60, 3), "val": rows(60, 30, 3), "test": rows(90, 30, 3)}
    parts |= {"oos": [[f"{WORDS[7]} {i} {WORDS[8]}", "oos"] for i in range(20)]}
    parts |= {"oos_val": [[f"{WORDS[6]} {i}", "oos"] for i in range(10)]}
    (folder / "intents.json").write_text(json.dumps(parts), encoding="utf-8")

    def part(name: str, **more: str) -> dict[str, Any]:
        return {"name": "text", "path": "intents.json", "under": name, "text": ["0"], **more}

    return {
        "name": "intents", "id": {name: part(name, label="1") for name in ("train", "val", "test")},
        "ood": [
            {"name": "oos", "category": "near", "source": part("oos")},
            {"name": "salad", "category": "synthetic", "source": {"name": "word_salad", "of": part("test")}},
        ],
        "shifted": [],
        "tuning": {"ood": [{"name": "oos val", "category": "near", "source": part("oos_val")}]},
        "network": {"name": "text_encoder", "path": str(bert)}, "epochs": 1,
        "models": [{"strategy": name, "seeds": [0]} for name in ("linear_probe", "adamw")],
        "detectors": ["msp", "knn", "odin"], "estimators": ["average_confidence"], "resources": {"processes": 1},
    }  # fmt: skip


def test_a_study_of_texts_is_written_as_one_of_pictures(bert: Path, tmp_path: Path) -> None:
    spec = saved(study(bert, tmp_path), tmp_path)
    outcome = run(spec, tmp_path / "out")
    assert all("odin" in str(failure) for failure in outcome.failures)
    rows = query.rows(tmp_path / "out").filter(role="test")
    aurocs = rows.filter(metric="auroc", set_kind="ood")
    assert set(aurocs["detector"]) == {"msp", "knn"} and set(aurocs["strategy"]) == {"linear_probe", "adamw"}
    assert set(aurocs["ood"]) == {"oos", "salad"} and set(aurocs["tuned"]) == {False, True}
    assert set(rows.filter(metric="accuracy")["model"]) == {"linear_probe-0", "adamw-0"}
    assert run(spec, tmp_path / "out").jobs == 0


@pytest.mark.parametrize(
    "option", [{"head": "head"}, {"layers": ["body"]}, {"preprocess": {"mean": [0.5], "std": [0.5]}}]
)
def test_weights_of_a_text_network_take_no_head_layers_or_preprocessing(
    bert: Path, tmp_path: Path, option: dict[str, Any]
) -> None:
    network = {"name": "text_encoder", "path": str(bert), "classes": 3}
    torch.save(TextEncoder(str(bert), 3).state_dict(), tmp_path / "intents.pt")
    stored = {"weights": "intents.pt", "network": network, "label": "stored"}
    plain, changed = (
        run(saved({**study(bert, tmp_path), "models": [model], "detectors": ["msp"]}, tmp_path), tmp_path / out)
        for model, out in ((stored, "plain"), (stored | option, "changed"))
    )
    assert not plain.failures
    assert f"Expected no {next(iter(option))} of stored" in str(changed.failures[0])


def saved(content: dict[str, Any], folder: Path) -> Spec:
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return Spec.load(folder / "study.yaml")
