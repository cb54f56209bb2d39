"""Folders in the format of WILDS: published layouts, official splits, groups, and small sets that stand in for them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression

from outfield import registry
from outfield.data.datasets import group_names_of, groups_of
from outfield.data.sources._wilds import SPLITS
from outfield.data.sources.domains import Domains
from outfield.data.sources.wilds import Wilds
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.reports.results import Results
from outfield.store import query
from outfield.studies.run import run
from outfield.studies.spec import Spec

KINDS = ("site", "stain", "drift", "subpopulation", "spurious")


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (6, 6), (shade, 0, 0)).save(path)


def camelyon(root: Path) -> None:
    """Five hospitals; the column says train or ID validation, whatever the hospital."""
    lines = ["", "patient,node,x_coord,y_coord,tumor,slide,center,split"]
    table = []
    for i, (center, split) in enumerate(product(range(5), (0, 1))):
        patient, node, x, y = f"{i:03d}", i % 4, 100 + i, 200 + i
        name = f"patient_{patient}_node_{node}"
        picture(root / "patches" / name / f"patch_{name}_x_{x}_y_{y}.png", 20 * i)
        table.append(f"{i},{patient},{node},{x},{y},{i % 2},{i},{center},{split}")
    (root / "metadata.csv").write_text("\n".join([f",{lines[1]}", *table]), encoding="utf-8")


def test_camelyon17_has_its_official_splits_and_hospitals(tmp_path: Path) -> None:
    camelyon(tmp_path)
    expected = {"train": [0, 3, 4], "id_val": [0, 3, 4], "val": [1, 1], "test": [2, 2]}
    for split, hospitals in expected.items():
        data = Wilds(str(tmp_path), split).load()
        assert groups_of(data).tolist() == hospitals, split  # type: ignore[union-attr]
        assert group_names_of(data) == tuple(f"center {i}" for i in range(5)) and data.classes == ("0", "1")
    test = Wilds(str(tmp_path), "test").load()
    assert test.labels.tolist() == [0, 1]  # type: ignore[union-attr]
    assert [one[0, 0, 0] for one in test.read(slice(None))] == [80, 100]
    assert groups_of(Wilds(str(tmp_path), "test", group=("slide",)).load()).tolist() == [4, 5]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="Expected rows of the split 'id_test'"):
        Wilds(str(tmp_path), "id_test").load()
    (tmp_path / "patches" / "patient_004_node_0" / "patch_patient_004_node_0_x_104_y_204.png").unlink()
    with pytest.raises(UserError, match="1 are not there"):
        Wilds(str(tmp_path), "test").load()


def test_waterbirds_groups_are_backgrounds_with_labels(tmp_path: Path) -> None:
    rows = [(i, y, split, place) for i, (y, split, place) in enumerate(product((0, 1), (0, 1, 2), (0, 1)))]
    lines = [f"{i},birds/{i} a.png,{y},{split},{place},/b/beach" for i, y, split, place in rows]
    head = "img_id,img_filename,y,split,place,place_filename"
    (tmp_path / "metadata.csv").write_text("\n".join([head, *lines]), encoding="utf-8")
    for i, *_ in rows:
        picture(tmp_path / "birds" / f"{i} a.png", i)
    for number, split in enumerate(("train", "val", "test")):
        data = Wilds(str(tmp_path), split).load()
        names = group_names_of(data) or ()
        assert [names[group] for group in groups_of(data)] == [  # type: ignore[union-attr]
            f"place {place}, y {y}" for _, y, of, place in rows if of == number
        ]


def test_civilcomments_is_read_as_text_and_its_shares_of_raters_are_cut_at_half(tmp_path: Path) -> None:
    head = ",comment_text,split,toxicity,male,female,LGBTQ,christian,muslim,other_religions,black,white"
    rows = [
        '0,"Fine, thanks.\nReally.",train,0.0,0,0,0,0,0,0,0.0,0',
        "1,Go away.,train,0.5,0,0,0,0,0,0,0.6,0",
        "2,Well said.,test,0.49,0,1,0,0,0,0,0.5,0",
    ]
    (tmp_path / "all_data_with_identities.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    train, test = (Wilds(str(tmp_path), split).load() for split in ("train", "test"))
    assert train.read(slice(None)) == ["Fine, thanks.\nReally.", "Go away."] and train.labels.tolist() == [0, 1]  # type: ignore[union-attr]
    names = group_names_of(test) or ()
    assert [names[g] for g in groups_of(train)] == ["black 0, toxicity 0", "black 1, toxicity 1"]  # type: ignore[union-attr]
    assert [names[g] for g in groups_of(test)] == ["black 1, toxicity 0"] and test.labels.tolist() == [0]  # type: ignore[union-attr]
    by_sex = Wilds(str(tmp_path), "test", group=("female", "toxicity")).load()
    assert (group_names_of(by_sex) or ())[groups_of(by_sex)[0]] == "female 1, toxicity 0"  # type: ignore[index]


def test_a_folder_that_is_not_known_says_its_columns(tmp_path: Path) -> None:
    table = "split,site,kind,path\ntrain,a,cat,0.png\ntest,b,dog,1.png\ntest,,cat,2.png\n"
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8")
    for i in range(3):
        picture(tmp_path / f"{i}.png", i)
    test = Wilds(str(tmp_path), "test", group=("site",), label="kind", file="path").load()
    assert test.classes == ("cat", "dog") and test.labels.tolist() == [1, 0]  # type: ignore[union-attr]
    assert [(group_names_of(test) or ())[g] for g in groups_of(test)] == ["site b", "site unknown"]  # type: ignore[union-attr]
    with pytest.raises(UserError, match="Say what they are: label, group, and file or text"):
        Wilds(str(tmp_path)).load()
    with pytest.raises(UserError, match="Expected a column 'place'"):
        Wilds(str(tmp_path), group=("place",), label="kind", file="path").load()
    with pytest.raises(UserError, match="Expected a split among"):
        Wilds(str(tmp_path), "ood_test")
    with pytest.raises(UserError, match=r"Expected the table metadata.csv"):
        (tmp_path / "empty").mkdir()
        Wilds(str(tmp_path / "empty")).load()


@pytest.mark.parametrize("kind", KINDS)
def test_empirical_risk_minimisation_does_worse_on_other_domains(kind: str) -> None:
    """A logistic regression on pixels: the OOD test set is .05 below the ID test set at least."""
    sets = {split: Domains(kind, split).load() for split in ("train", "id_test", "test")}
    x = {split: np.asarray(data.read(slice(None))).reshape(len(data), -1) / 255 for split, data in sets.items()}
    model = LogisticRegression(max_iter=60, tol=1e-2).fit(x["train"], sets["train"].labels)
    accuracy = {split: model.score(x[split], sets[split].labels) for split in sets}
    assert accuracy["id_test"] > 0.85
    assert accuracy["test"] < accuracy["id_test"] - 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_splits_share_no_digit_and_ood_domains_are_new_or_of_another_share(kind: str) -> None:
    sets = {split: Domains(kind, split).load() for split in SPLITS}
    assert sum(map(len, sets.values())) == 1797 or kind == "spurious"
    groups = {split: np.bincount(np.asarray(groups_of(data)), minlength=10) for split, data in sets.items()}
    if kind in ("site", "stain", "drift"):
        known = groups["train"] > 0
        assert (groups["id_test"][~known] == 0).all() and known.sum() == (5 if kind == "drift" else 3)
        assert not groups["val"][known].any() and not groups["test"][known].any()
    if kind == "spurious":
        agree = {split: (n[0] + n[3]) / n.sum() for split, n in groups.items()}
        assert agree["train"] == pytest.approx(0.95, abs=0.03) and agree["test"] == pytest.approx(0.1, abs=0.06)
    if kind == "subpopulation":
        rare = {split: n[1] / n.sum() for split, n in groups.items()}
        assert rare["train"] < 0.1 and rare["test"] > 0.4


def rows_of(correct: dict[str, np.ndarray], groups: np.ndarray) -> pl.DataFrame:
    """Accuracy of models on all items and by group, as a study writes it."""
    made = []
    for model, right in correct.items():
        common: dict[str, object] = {
            "model": model,
            "strategy": model[0],
            "metric": "accuracy",
            "set_kind": "id",
            "role": "test",
        }
        made.append(common | {"value": float(right.mean())})
        made += [
            common | {"role": "group", "group": f"site {g}", "value": float(right[groups == g].mean())}
            for g in np.unique(groups)
        ]
    return pl.DataFrame(made, infer_schema_length=None)


def test_the_worst_group_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 4, 500)
    correct = {name: rng.random(500) < 0.7 + 0.06 * (groups + i) % 0.3 for i, name in enumerate(("a0", "a1", "b0"))}
    found = registry.create("analyses", "worst_group").of(Results.of(rows_of(correct, groups))).frame()
    for strategy in "ab":
        some = [right for name, right in correct.items() if name[0] == strategy]
        each = [min(right[groups == g].mean() for g in range(4)) for right in some]
        (row,) = found.filter(strategy=strategy).iter_rows(named=True)
        assert (row["value"], row["low"], row["high"]) == pytest.approx((np.mean(each), min(each), max(each)))
        assert row["whole"] == pytest.approx(np.mean([right.mean() for right in some]))
        assert row["groups"] == 4 and row["n"] == len(each)


def test_groups_that_tie_for_the_worst_are_named_together() -> None:
    rows = rows_of({"a0": np.array([1, 0, 1, 0, 1, 1])}, np.array([0, 0, 1, 1, 2, 2]))
    found = registry.create("analyses", "worst_group").of(Results.of(rows))
    assert found.frame()["worst"].to_list() == ["site 0, site 1"]
    assert found.sentences()[0].startswith("Of the worst groups on the ID test set, that of a is served best: 0.500")


def test_a_study_measures_every_domain_of_a_folder_and_of_other_domains(tmp_path: Path) -> None:
    split = {"train": "train", "val": "id_val", "test": "id_test"}
    spec = Spec.parse(
        {
            "name": "sites",
            "id": {role: {"name": "domains", "kind": "site", "split": one, "side": 8} for role, one in split.items()},
            "shifted": [
                {"name": f"OOD {one}", "source": {"name": "domains", "kind": "site", "split": one, "side": 8}}
                for one in ("val", "test")
            ],
            "ood": [
                {"name": "photo", "category": "far", "source": {"name": "photos", "n": 20, "side": 8, "channels": 3}}
            ],
            "network": {"name": "small_cnn", "channels": 3},
            "epochs": 1,
            "models": [{"strategy": "baseline", "seeds": [0]}],
            "detectors": ["msp"],
            "resources": {"processes": 1},
        }
    )
    outcome = run(spec, tmp_path / "out", cache=Cache(tmp_path / "cache"))
    assert not outcome.failures
    rows = query.rows(tmp_path / "out").filter(pl.col("metric") == "accuracy", pl.col("role") == "group")
    assert set(rows.select(pl.col("ood").fill_null("ID"), "group").rows()) == {
        ("ID", "site 0"), ("ID", "site 1"), ("ID", "site 2"), ("OOD val", "site 3"), ("OOD test", "site 4")
    }  # fmt: skip
    found = registry.create("analyses", "worst_group").of(Results.of(tmp_path / "out")).frame()
    assert set(found["set"]) == {"ID test", "OOD val", "OOD test"}
