"""Study files: what is right is built, what is wrong is told, all of it at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from outfield import registry
from outfield.errors import Problems, UserError
from outfield.studies.spec import Plugin, Spec, shipped
from tests.support import digits, small_study

WRONG = """
name: bad name!
id: {train: {name: digits, part: fit}, val: {name: digitz}, test: digits}
ood:
  - {name: a, category: close, source: {name: digits, classes: x}}
detectors: [enrgy, {name: ash, percentile: high}]
models: [{strategy: baselin, seeds: []}]
network: small_cnn
colour: red
"""


def test_every_mistake_of_a_file_is_shown_at_once(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(WRONG)
    with pytest.raises(Problems) as caught:
        Spec.load(tmp_path / "study.yaml")
    text = str(caught.value)
    assert text.startswith("study.yaml: ")
    for said in (
        "name: string should match pattern",
        "id.val: There is no source 'digitz'. Did you mean 'digits'",
        "ood[0].category: input should be 'near', 'far', 'extreme' or 'synthetic', but got 'close'",
        "ood[0].source.classes: input should be a valid tuple, but got 'x'",
        "detectors[0]: There is no detector 'enrgy'. Did you mean '",
        "detectors[1].percentile: input should be a valid",
        "models[0].strategy: There is no strategy 'baselin'. Did you mean 'baseline'?",
        "models[0].seeds: tuple should have at least 1 item",
        "colour: there is no such field",
    ):
        assert said in text, said


DEAR = {"blood", "cover", "heat", "iodin", "patchcore", "rankfeat", "uncertainty", "scod", "sirc", "one_class_svm"}


def test_a_study_that_names_no_detectors_asks_those_that_cost_little() -> None:
    content = small_study()
    del content["detectors"]
    usual = [one.name for one in Spec.parse(content).detectors]
    assert usual == list(registry.usual("detectors")) and not DEAR & set(usual)
    assert {"msp", "knn", "vim", "odin", "adascale", "gram", "nac", "mdspp"} <= set(usual)
    assert len(usual) >= 40


def test_the_word_all_asks_every_detector() -> None:
    assert [one.name for one in Spec.parse(small_study(detectors="all")).detectors] == [*registry.own("detectors")]


def test_a_detector_that_wraps_another_or_asks_a_new_probe_is_asked_by_name_alone() -> None:
    for name in registry.usual("detectors"):
        detector = registry.create("detectors", name)
        assert not detector.bases and (not detector.probes() or name in {"odin", "adascale", "gram"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": None}, "need an architecture"),
        ({"network": "small_cn"}, "Did you mean 'small_cnn'"),
        ({"ood": [{"name": "a", "category": "near", "source": digits("all", [8])}] * 2}, "'a' is used more than once"),
        *(
            (
                {"ood": [{"name": name, "category": "near", "source": digits("all", [8])}]},
                rf"ood\[0\].name: '{name}' is what an ID set is called",
            )
            for name in ("train", "val", "test")
        ),
        ({"models": [{"strategy": "baseline"}] * 2}, "models: the name 'baseline-0' is used more than once"),
        ({"models": [{"strategy": "baseline", "label": n} for n in ("a b", "a-b")]}, "'a-b-0' is used more than once"),
        ({"models": [{"strategy": "baseline", "seeds": [0, 0]}]}, "'baseline-0' is used more than once"),
        ({"models": [{"strategy": "baseline", "seeds": [2**64]}]}, "seeds"),
        ({"seed": -1}, "seed: "),
        (
            {"tuning": {"ood": [{"name": "a", "category": "near", "source": digits("all", [8])}] * 2}},
            "tuning.ood: the name 'a' is used more than once",
        ),
        ({"detectors": [{"name": "energy", "temprature": 2}]}, "has no parameter 'temprature'. Its parameters are"),
        ({"shifts": ["nois"]}, "There is no shift 'nois'"),
        ({"shifts": [{"shift": "blur", "severities": [0, 9]}]}, "severities"),
    ],
)
def test_each_inconsistency_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Problems, match=message):
        Spec.parse(small_study(**changes))


@pytest.mark.parametrize(
    ("content", "message"), [("- a\n- b", "Expected a mapping"), ("a: [", "Expected YAML"), ("", "Expected a mapping")]
)
def test_what_is_no_study_is_told(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "x.yaml").write_text(content)
    with pytest.raises(UserError, match=message):
        Spec.load(tmp_path / "x.yaml")


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yaml, but it cannot be read"):
        Spec.load(tmp_path / "none.yaml")


def test_the_yaml_file_and_the_python_object_are_the_same() -> None:
    spec = Spec.load(shipped("digits"))
    assert Spec.model_validate_json(spec.model_dump_json()) == spec
    assert len(spec.ood) == 8
    assert len(spec.models) >= 10


def test_parameters_are_converted_to_the_types_of_the_fields() -> None:
    assert Plugin(name="digits", classes=[8]).build("sources").classes == (8,)


ROOTED = """
name: rooted
{data}
id:
  train: {{name: part, of: {{name: zip, path: a/train.zip}}, stop: 0.8}}
  val: {{name: arrays, path: val.npz, labels: y}}
  test: {{name: imglist, path: lists/test.txt, root: pictures}}
ood: [{{name: far, category: far, source: {{name: arrays, path: /elsewhere/far.npy, labels: far_labels.npy}}}}]
network: small_cnn
models:
  - {{weights: w.safetensors, network: {{name: small_cnn, classes: 2}}, label: one}}
  - {{weights: [b.pt, /h.pt], network: {{name: small_cnn, classes: 2}}, label: two}}
"""


def rooted(folder: Path, data: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(ROOTED.format(data=data))
    return folder / "study.yaml"


@pytest.mark.parametrize(
    ("stated", "ways", "root"),
    [
        ("", (), "studies"),
        ("", ("variable",), "studies"),
        ("data: ../files", (), "files"),
        ("data: ../files", ("variable",), "variable"),
        ("data: ../files", ("variable", "given"), "given"),
        ("", ("variable", "given"), "given"),
    ],
)
def test_relative_paths_start_from_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str, ways: tuple[str, ...], root: str
) -> None:
    monkeypatch.delenv("OUTFIELD_DATA", raising=False)
    if "variable" in ways:
        monkeypatch.setenv("OUTFIELD_DATA", str(tmp_path / "variable"))
    spec = Spec.load(rooted(tmp_path / "studies", stated), tmp_path / "given" if "given" in ways else None)
    below = tmp_path / root
    assert spec.id.train.params == {"of": {"name": "zip", "path": str(below / "a/train.zip")}, "stop": 0.8}
    assert spec.id.val.params == {"path": str(below / "val.npz"), "labels": "y"}
    assert spec.id.test.params == {"path": str(below / "lists/test.txt"), "root": str(below / "pictures")}
    assert spec.ood[0].source.params == {"path": "/elsewhere/far.npy", "labels": str(below / "far_labels.npy")}
    assert [model.weights for model in spec.models] == [
        (below / "w.safetensors",),
        (below / "b.pt", Path("/h.pt")),
    ]
    assert Spec.model_validate_json(spec.model_dump_json()) == spec


def test_what_a_stored_model_cannot_have_is_told() -> None:
    stored = {"weights": "w.pt", "network": {"name": "small_cnn", "classes": 4}, "label": "a"}
    for change, message in [
        ({"preprocess": {"sise": 3}}, r"models\[0\].preprocess: no 'sise'; there are side"),
        ({"preprocess": {"crop": 2}}, r"models\[0\].preprocess: Expected crop"),
        ({"rename": {"(": "a"}}, r"models\[0\].rename: '\(' is no regular expression"),
        ({"weights": []}, r"models\[0\].weights.*: tuple should have at least 1 item"),
    ]:
        with pytest.raises(Problems, match=message):
            Spec.parse(small_study(models=[stored | change]))


def test_a_source_within_a_source_whose_keys_are_numbers_is_told() -> None:
    study = small_study()
    study["id"]["val"] |= {"classes": {1: None, "name": None}}
    with pytest.raises(Problems, match=r"id\.val.*"):
        Spec.parse(study)
