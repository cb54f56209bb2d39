"""Bundles: what they hold, what they refuse, and that every road gives the same decision."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy import stats
from sklearn.linear_model import LogisticRegression
from torch import nn

import outfield
from outfield import keys, registry
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.guard.build import build
from outfield.guard.bundle import Bundle
from tests.integration.test_cli import typed

VALUES = [name for name in registry.own("detectors") if not registry.create("detectors", name).probes()]


def rows(seed: int, n: int = 900) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, 6)) + 4 * np.eye(6)[y]).astype(np.float32), y


def network() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
    x, y = map(torch.from_numpy, rows(0))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return network()


@pytest.fixture
def made(net: nn.Module, tmp_path: Path) -> Bundle:
    return bundle_of(net, tmp_path)


def bundle_of(model: Any, folder: Path, **options: Any) -> Bundle:
    given = {"fit": rows(0), "calibrate": rows(1)[0], "detector": "vim", "cache": Cache(folder / "cache")}
    return build(model, **given | options)


def test_every_road_gives_the_same_decision(net: nn.Module, made: Bundle, tmp_path: Path) -> None:
    folder = made.save(tmp_path / "a.guard")
    x = np.concatenate([rows(2)[0][:100], rows(3)[0][:50] - 9])
    guarded = outfield.guard(net, folder)
    whole = guarded(x)
    features = net[:2](torch.from_numpy(x))
    by_values = Bundle.load(folder).score(features=features.detach(), logits=net(torch.from_numpy(x)).detach())
    np.testing.assert_array_equal(by_values.verdict, whole.verdict)
    np.testing.assert_allclose(by_values.score, whole.score, atol=1e-5)
    one = guarded(x[120])
    assert (one.verdict, one.prediction) == (whole.verdict[120], whole.prediction[120])
    assert (whole.verdict[100:] == "ood").all()
    assert whole.frame().columns == ["prediction", "score", "p", "verdict"]


def test_false_alarms_are_as_promised_on_fresh_items(net: nn.Module, tmp_path: Path) -> None:
    fresh = rows(99, 30_000)[0]
    flagged = []
    for seed in range(30):
        made = bundle_of(net, tmp_path, calibrate=rows(100 + seed, 600)[0], detector="energy")
        flagged.append((outfield.guard(net, made)(fresh).verdict == "ood").mean())
    broken = sum(rate > 0.05 for rate in flagged)
    assert stats.binomtest(broken, 30, 0.05, alternative="greater").pvalue > 0.01
    assert 0.025 < np.mean(flagged) < 0.045


@pytest.mark.parametrize("detector", VALUES)
def test_every_value_detector_has_a_bundle_that_loads(net: nn.Module, tmp_path: Path, detector: str) -> None:
    try:
        made = bundle_of(net, tmp_path, detector=detector)
    except UserError as error:
        assert "Choose another" in str(error)  # noqa: PT017  # it has no such thing to score
        return
    again = Bundle.load(made.save(tmp_path / "b.guard"))
    assert again.manifest == made.manifest
    x = rows(2)[0][:20]
    np.testing.assert_array_equal(outfield.guard(net, again)(x).score, outfield.guard(net, made)(x).score)


def test_equal_inputs_give_an_equal_digest(net: nn.Module, tmp_path: Path) -> None:
    first, second = (bundle_of(net, tmp_path / str(i)).manifest for i in (0, 1))
    assert first.digest == second.digest
    assert first.digest != bundle_of(net, tmp_path, alpha=0.1).manifest.digest


def test_live_detectors_and_those_of_inputs_are_refused(net: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="odin asks the model again"):
        bundle_of(net, tmp_path, detector="odin")


def test_calibration_items_that_were_seen_are_refused(net: nn.Module, tmp_path: Path) -> None:
    x, y = rows(0)
    with pytest.raises(UserError, match="5 of 905 are among those that the detector was fitted on"):
        bundle_of(net, tmp_path, calibrate=np.concatenate([rows(1)[0], x[:5]]))
    with pytest.raises(UserError, match="selected on"):
        bundle_of(net, tmp_path, select=[rows(1)[0][:10]])
    assert len(y) == 900


def test_duplicates_are_left_out_and_groups_count_once(net: nn.Module, tmp_path: Path) -> None:
    x = rows(1)[0]
    made = bundle_of(net, tmp_path, calibrate=np.concatenate([x, x[:300]]))
    assert (made.manifest.calibrate.n, made.manifest.calibrate.duplicates_removed) == (900, 300)
    grouped = bundle_of(net, tmp_path, groups=np.repeat(np.arange(90), 10))
    assert (grouped.manifest.calibrate.n, grouped.manifest.calibrate.groups) == (90, 90)
    with pytest.raises(UserError, match="group for each of 900"):
        bundle_of(net, tmp_path, groups=[1, 2])


def test_drift_of_the_calibration_items_is_told(net: nn.Module, tmp_path: Path) -> None:
    x = rows(1)[0]
    drifting = x + np.linspace(0, 2, len(x), dtype=np.float32)[:, None]
    assert any("drift" in said for said in bundle_of(net, tmp_path, calibrate=drifting).manifest.checks)
    assert not any("drift" in said for said in bundle_of(net, tmp_path).manifest.checks)


def test_too_few_items_say_how_many_are_needed(net: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least 59 calibration items"):
        bundle_of(net, tmp_path, calibrate=rows(1)[0][:40])


def test_thresholds_by_class_are_used(net: nn.Module, tmp_path: Path) -> None:
    made = bundle_of(net, tmp_path, per_class=True, detector="energy")
    assert [one.scope for one in made.manifest.promises] == ["all", "class 0", "class 1", "class 2"]
    found = outfield.guard(net, made)(rows(2)[0])
    limits = made.state["classes"].numpy()[found.prediction]
    np.testing.assert_array_equal(found.verdict == "ood", found.score > limits)
    few = bundle_of(net, tmp_path, per_class=True, calibrate=rows(1)[0][:150])
    assert any("3 of 3 predicted classes" in said for said in few.manifest.checks)


def test_another_model_is_refused(net: nn.Module, made: Bundle) -> None:
    other = network()
    with torch.no_grad():
        other[0].weight[0, 0] += 1
    guarded = outfield.guard(other, made)
    for _ in range(2):
        with pytest.raises(UserError, match="other weights or preprocessing"):
            guarded(rows(2)[0])
    with pytest.raises(UserError, match="features of width 16"):
        made.score(features=torch.zeros(2, 5), logits=torch.zeros(2, 3))


def test_missing_scores_have_no_verdict(made: Bundle) -> None:
    found = made.score(features=torch.full((1, 16), torch.nan), logits=torch.zeros(1, 3))
    assert found.verdict.tolist() == ["no verdict"]
    assert np.isnan(found.p[0])


def test_models_of_scikit_learn_have_bundles(tmp_path: Path) -> None:
    x, y = rows(0)
    fitted = LogisticRegression().fit(x, y)
    made = bundle_of(fitted, tmp_path, detector="mds")
    assert set(outfield.guard(fitted, made)(rows(2)[0] + 20).verdict) == {"ood"}


def test_a_card_builds_the_guard_of_its_recommended_detector(net: nn.Module, tmp_path: Path) -> None:
    far = {"far": rows(3)[0][:80] - 9}
    data = {"id_train": rows(0), "id_test": rows(2, 200), "ood": far, "cache": Cache(tmp_path / "cache")}
    card = outfield.evaluate(net, id_val=rows(1), detectors=["msp", "vim"], **data)
    made = Bundle.load(card.guard(tmp_path / "h.guard"))
    told = card.summary()["production"]
    assert told["promise"] == {
        "threshold": made.threshold, "alpha": 0.05, "delta": 0.05, "expected": 35 / 901, "n": 900,
    }  # fmt: skip
    page = (tmp_path / "h.guard" / "card.html").read_text(encoding="utf-8")
    assert "3.9% are expected" in page
    assert f"{made.threshold:.6g}" in page
    assert "card.guard(&#34;model.guard&#34;)" in page
    assert f"--detector {card.recommended} -o model.guard" in page
    assert made.manifest.detector.name == card.recommended
    assert made.manifest.calibrate.n == 900
    assert (tmp_path / "h.guard" / "card.html").read_text().startswith("<!DOCTYPE html>")
    assert Bundle.load(card.guard(tmp_path / "i.guard", detector="msp", far=0.1)).manifest.promises[0].alpha == 0.1
    with pytest.raises(UserError, match="selected on"):
        card.guard(tmp_path / "j.guard", calibrate=rows(2, 200))
    without = outfield.evaluate(net, detectors=["msp"], **data)
    with pytest.raises(UserError, match="without ID-val data"):
        without.guard(tmp_path / "k.guard")
    assert without.summary()["production"]["promise"] is None
    assert "id_val= of evaluate" in without.production.sentence
    few = outfield.evaluate(net, id_val=rows(1, 45), detectors=["msp"], **data)
    assert "at least 59 calibration items" in few.production.sentence


def test_labels_of_the_fit_data_are_in_the_order_of_the_model(tmp_path: Path) -> None:
    """The names of the data's classes stand in another order than the model's."""
    from outfield.data.datasets import ArrayDataset

    x, y = rows(0)
    fitted = LogisticRegression().fit(x, np.array(["b", "c", "a"])[y])
    turned = ArrayDataset(x, labels=y, classes=["b", "c", "a"])
    given = {"calibrate": rows(1)[0], "detector": "mds", "cache": Cache(tmp_path / "cache")}
    named = build(fitted, fit=turned, **given)
    plain = build(fitted, fit=(x, np.array(["b", "c", "a"])[y]), **given)
    assert named.manifest.model.classes == ["a", "b", "c"]
    assert named.threshold == pytest.approx(plain.threshold)


# --- damage ---


PICKLE = b"\x80\x04cos\nsystem\n(S'true'\ntR."
FILES = ("manifest.json", "state.safetensors")
KINDS = (
    "flip", "cut", "grow", "zeros", "pickle", "pickle inside", "swap", "header", "huge header", "traversal", "link",
)  # fmt: skip
PATHS = ("../other", "../../etc/passwd", "/etc/passwd", "other", "state.safetensors/../other", "")


def damaged(folder: Path, kind: str, rng: np.random.Generator) -> str:
    """Damage one of the files of a bundle; what was done."""
    path = folder / str(rng.choice(FILES))
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content)))
    if kind == "flip":
        content[at] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del content[at:]
    elif kind == "grow":
        content[at:at] = bytes(rng.integers(0, 256, 20, dtype=np.uint8))
    elif kind == "zeros":
        content[at : at + 40] = b"\0" * min(40, len(content) - at)
    elif kind == "pickle":
        content = bytearray(PICKLE)
    elif kind == "pickle inside":
        content[at : at + len(PICKLE)] = PICKLE
    elif kind in ("header", "traversal"):
        return resealed(folder, kind, rng)
    elif kind == "huge header":
        content[:8] = int(rng.integers(2**27, 2**62)).to_bytes(8, "little")
    else:
        content = bytearray((folder / "other").read_bytes())
    if kind == "link":
        path.unlink()
        path.symlink_to(folder / "other")
        return f"a link in the place of {path.name}"
    path.write_bytes(content)
    return f"{kind} of {path.name} at {at}"


def resealed(folder: Path, kind: str, rng: np.random.Generator) -> str:
    """Damage the state's header, or name a file elsewhere, and write digests that fit, as a forger would."""
    record = json.loads((folder / "manifest.json").read_bytes())
    if kind == "header":
        content = (folder / "state.safetensors").read_bytes()
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        name = str(rng.choice(sorted(header)))
        part, far = header[name], int(rng.integers(1, 2**50))
        change = {"shape": [far], "data_offsets": [far, far + 8], "dtype": "BOOL"}
        field = str(rng.choice(list(change)))
        part[field] = change[field]
        text = json.dumps(header).encode()
        forged = len(text).to_bytes(8, "little") + text + content[8 + size :]
        (folder / "state.safetensors").write_bytes(forged)
        record["state"]["sha256"] = hashlib.sha256(forged).hexdigest()
        done = f"another {field} of {name}"
    else:
        steps = str(rng.choice(PATHS))
        record["state"]["file"] = steps
        done = f"the path {steps!r}"
    content = {name: one for name, one in record.items() if name not in ("created", "digest", "seal")}
    record["digest"] = keys.key(**content)
    record["seal"] = keys.key(digest=record["digest"], created=record["created"])
    (folder / "manifest.json").write_text(json.dumps(record), encoding="utf-8")
    return done


def test_no_damaged_bundle_is_loaded(made: Bundle, tmp_path: Path) -> None:
    folder = made.save(tmp_path / "c.guard")
    whole = {name: (folder / name).read_bytes() for name in FILES}
    (folder / "other").write_bytes(os.urandom(3000))
    rng = np.random.default_rng(int(os.environ.get("OUTFIELD_FUZZ_SEED", "0")))
    refused, same = dict.fromkeys(KINDS, 0), 0
    for number in range(int(os.environ.get("OUTFIELD_FUZZ", "200"))):
        kind = KINDS[number % len(KINDS)]
        what = damaged(folder, kind, rng)
        try:
            found = Bundle.load(folder)
        except UserError:
            refused[kind] += 1
        else:
            same += 1
            assert (folder / FILES[1]).read_bytes() == whole[FILES[1]], what
            assert json.loads((folder / FILES[0]).read_bytes()) == json.loads(whole[FILES[0]]), what
            assert found.manifest == made.manifest, what
        for name, content in whole.items():
            (folder / name).unlink()
            (folder / name).write_bytes(content)
    print(f"refused: {refused}; of equal content: {same}")
    assert all(refused.values())
    assert same <= 0.02 * sum(refused.values())
    Bundle.load(folder)


def test_a_state_of_another_bundle_and_a_newer_format_are_refused(net: nn.Module, made: Bundle, tmp_path: Path) -> None:
    folder = made.save(tmp_path / "d.guard")
    other = bundle_of(net, tmp_path, alpha=0.1).save(tmp_path / "e.guard")
    (folder / "state.safetensors").write_bytes((other / "state.safetensors").read_bytes())
    with pytest.raises(UserError, match="not as it was written, or belongs to another bundle"):
        Bundle.load(folder)
    made.save(folder)
    record = json.loads((folder / "manifest.json").read_text())
    for change, said in (
        ({"min_reader": 2}, "newer outfield"),
        ({"evil": 1}, "evil"),
        ({"digest": "0" * 20}, "digest is another"),
        ({"limits": []}, "digest is another"),
        ({"state": record["state"] | {"file": "../../etc/passwd"}}, "state.file"),
        ({"detector": record["detector"] | {"name": "nothing"}}, "digest is another"),
    ):
        (folder / "manifest.json").write_text(json.dumps(record | change))
        with pytest.raises(UserError, match=said):
            Bundle.load(folder)
    (folder / "manifest.json").write_text("[" * 100_000)
    with pytest.raises(UserError):
        Bundle.load(folder)
    with pytest.raises(UserError, match="no manifest.json"):
        Bundle.load(tmp_path / "nowhere.guard")


def test_canaries_find_a_detector_that_computes_otherwise(made: Bundle, tmp_path: Path) -> None:
    folder = made.save(tmp_path / "f.guard")
    state = load_file(folder / "state.safetensors")
    state["canary/scores"] = state["canary/scores"] + 1
    forged = Bundle.of(made.manifest.model_dump(exclude={"state"}), state)
    save_file(forged.state, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="canaries"):
        Bundle.load(forged.save(tmp_path / "g.guard"))


# --- the command ---


def test_command_line_builds_checks_and_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTFIELD_CACHE", str(tmp_path / "cache"))
    np.savez("fit.npz", rows=rows(0)[0], labels=rows(0)[1])
    np.save("calibrate.npy", rows(1)[0])
    np.save("new.npy", rows(2)[0])
    np.save("far.npy", rows(3)[0][:50] - 9)
    Path("net.py").write_text("from tests.unit.test_guard_bundle import network\n")
    words = ("guard", "build", "net.py:network", "--id", "fit.npz", "--calibrate", "calibrate.npy", "-o", "a.guard")
    assert typed(*words, "--detector", "vim", "--ood", "far=far.npy") == 0
    said = capsys.readouterr().out
    assert "Promised: at most 5.0% of ID items flagged" in said
    assert "far: 100.0% flagged" in said
    assert "Not promised:" in said
    assert typed("guard", "check", "a.guard") == 0
    assert typed("guard", "score", "a.guard", "new.npy", "--model", "net.py:network", "-o", "out.csv") == 0
    assert "Nothing says" in capsys.readouterr().out
    assert Path("out.csv").read_text().startswith("input,prediction,score,p,verdict\n")
    assert typed("guard", "score", "a.guard", "far.npy", "--model", "net.py:network") == 3
    assert "at least" in capsys.readouterr().out
    assert typed("guard", "monitor", "a.guard", "out.csv") == 0
    assert "No alarm." in capsys.readouterr().out
    pl.concat([pl.read_csv("out.csv").select("score"), pl.DataFrame({"score": [1e3] * 300})]).write_parquet("s.parquet")
    assert typed("guard", "monitor", "a.guard", "s.parquet") == 3
    assert "ALARM after 950 items" in capsys.readouterr().out
    np.savez("labelled.npz", rows=rows(5)[0], labels=rows(5)[1])
    words = ("guard", "accuracy", "a.guard", "--id", "labelled.npz", "--model", "net.py:network")
    assert typed(*words[:3], "new.npy", *words[3:]) == 0
    said = capsys.readouterr().out
    assert "average_confidence: " in said
    assert "At least 0.0% of the batch" in said
    assert typed(*words[:3], "far.npy", *words[3:]) == 3
    assert "No accuracy is estimated" in capsys.readouterr().out
    assert typed("guard", "monitor", "a.guard", "out.csv", "--groups", "film") == 2
    assert typed("guard", "plan", "1000", "--traffic", "50000") == 0
    assert "1,948 false alarms a day" in capsys.readouterr().out
    assert typed("guard", "check", "nowhere.guard") == 2
    assert typed("guard", "score", "a.guard", "new.npy", "--model", "net.py:network", "-o", "out.txt") == 2
