"""The same model in another form: how many decisions change, and what is said of it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import outfield
from outfield.data.base import Items
from outfield.errors import UserError
from outfield.guard.bundle import Bundle
from outfield.guard.recheck import compared, recheck
from outfield.guard.verdicts import Answers, Verdicts
from outfield.models.open import open_model
from outfield.models.preprocess import Table
from outfield.stats.intervals import clopper_pearson
from tests.integration.test_cli import typed
from tests.unit.test_guard_bundle import bundle_of, network, rows

PRODUCTION = np.concatenate([rows(seed)[0] for seed in (5, 6)])


@pytest.fixture(scope="module")
def net() -> nn.Module:
    return network()


@pytest.fixture(scope="module")
def made(net: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(net, tmp_path_factory.mktemp("vim"))


def moved(net: nn.Module, by: float) -> nn.Module:
    """The same network with its features shifted."""
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[0].bias += by
    return other


def test_another_precision_is_refused_and_passes_a_recheck(net: nn.Module, made: Bundle) -> None:
    doubled = copy.deepcopy(net).double()
    with pytest.raises(UserError, match="outfield guard recheck"):
        outfield.guard(doubled, made)(PRODUCTION)
    found, again = recheck(made, PRODUCTION, original=net, other=doubled)
    assert (found.n, found.verdicts, found.passed) == (1800, 0, True)
    assert 0 < found.largest < 1e-4
    assert found.share.high == pytest.approx(1 - 0.025 ** (1 / 1800))
    answers = outfield.guard(doubled, again)(PRODUCTION)
    np.testing.assert_array_equal(answers.verdict, outfield.guard(net, made)(PRODUCTION).verdict)


def test_the_bundle_of_the_other_model_says_where_it_comes_from(net: nn.Module, made: Bundle, tmp_path: Path) -> None:
    _, again = recheck(made, PRODUCTION, original=net, other=copy.deepcopy(net).double())
    loaded = Bundle.load(again.save(tmp_path / "a.guard")).manifest
    assert loaded.digest not in ("", made.manifest.digest)
    assert made.manifest.digest in loaded.checks[-1]
    assert "0 of 1,800 verdicts change" in loaded.checks[-1]
    assert "up to 0.20%" in loaded.limits[-1]
    assert loaded.promises == made.manifest.promises
    assert again.threshold == made.threshold
    with pytest.raises(UserError, match="other weights or preprocessing"):
        outfield.guard(net, again)(PRODUCTION)


def test_half_precision_moves_scores_and_is_counted(net: nn.Module, made: Bundle) -> None:
    coarse = copy.deepcopy(net).bfloat16()
    found, _ = recheck(made, PRODUCTION, original=net, other=coarse, limit=0.05)
    first, second = (answers_of(model, made) for model in (net, coarse))
    assert found.largest > 1e-3
    assert found.verdicts == (first.verdict != second.verdict).sum()
    assert found.rungs == (first.p != second.p).sum() >= found.verdicts


def answers_of(model: nn.Module, bundle: Bundle) -> Verdicts:
    """What the detector says of a model's outputs, the digest aside."""
    dtype = model[0].weight.dtype
    with torch.no_grad():
        features = model[:2](torch.from_numpy(PRODUCTION).to(dtype))
        return bundle.score(features=features, logits=model[2](features))


def test_a_model_that_decides_otherwise_does_not_pass(net: nn.Module, made: Bundle) -> None:
    found, _ = recheck(made, PRODUCTION, original=net, other=moved(net, 1.0))
    assert not found.passed
    assert found.share.low > 0.01
    assert "build a bundle for this model" in found.verdict


def test_few_inputs_show_nothing(net: nn.Module, made: Bundle) -> None:
    found, _ = recheck(made, PRODUCTION[:300], original=net, other=copy.deepcopy(net).double())
    assert (found.verdicts, found.passed) == (0, False)
    assert "at least 368" in found.verdict
    assert recheck(made, PRODUCTION[:368], original=net, other=copy.deepcopy(net).double())[0].passed


def test_another_preprocessing_is_refused_and_counted(net: nn.Module, made: Bundle) -> None:
    found, _ = recheck(made, PRODUCTION, original=net, other=net)
    assert (found.verdicts, found.largest) == (0, 0.0)
    opened = open_model(net, example=PRODUCTION[:2], preprocess=Shifted())
    with pytest.raises(UserError, match="other weights or preprocessing"):
        outfield.guard(opened, made)
    assert not recheck(made, PRODUCTION, original=net, other=opened)[0].passed


@dataclass(frozen=True)
class Shifted:
    """A preprocessing with a mean that is wrong."""

    by: float = 0.5

    def __call__(self, batch: Items) -> torch.Tensor:
        return Table()(batch) + self.by


def test_another_device_is_refused(net: nn.Module, made: Bundle) -> None:
    manifest = made.manifest
    elsewhere = manifest.model_copy(update={"model": manifest.model.model_copy(update={"device": "cuda"})})
    with pytest.raises(UserError, match="on cuda, where this bundle was built, but it is on cpu"):
        outfield.guard(net, Bundle(elsewhere, made.state))(PRODUCTION)


def test_a_re_exported_model_is_refused_and_passes_a_recheck(net: nn.Module, made: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from outfield.guard.export import export

    (tmp_path / "a.onnx").write_bytes(export(made, net, rows(4)[0]).content)
    other = f"onnx:{tmp_path / 'a.onnx'}"
    with pytest.raises(UserError, match="other weights or preprocessing"):
        outfield.guard(other, made)(PRODUCTION)
    found, again = recheck(made, PRODUCTION, original=net, other=other)
    assert (found.verdicts, found.passed) == (0, True)
    assert again.manifest.model.adapter == "OnnxModel"
    assert set(outfield.guard(other, again)(PRODUCTION[:50] - 30).verdict) == {"ood"}


def test_bad_questions_are_refused(net: nn.Module, made: Bundle) -> None:
    with pytest.raises(UserError, match="limit in"):
        recheck(made, PRODUCTION, original=net, other=net, limit=0)
    with pytest.raises(UserError, match="other weights or preprocessing"):
        recheck(made, PRODUCTION, original=moved(net, 1.0), other=net)
    wider = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    with pytest.raises(UserError, match="features of width 16"):
        recheck(made, PRODUCTION, original=net, other=wider)


def test_missing_scores_count_as_changed() -> None:
    first = Answers(np.zeros(3), Verdicts(np.array([0, np.nan, np.nan]), np.ones(3), np.array(["id", "x", "x"])))
    second = Answers(np.zeros(3), Verdicts(np.array([np.nan, 1, np.nan]), np.ones(3), np.array(["x", "id", "x"])))
    found = compared(first, second, spread=1.0)
    assert (found.verdicts, found.largest) == (2, np.inf)


def test_the_interval_is_exact() -> None:
    assert clopper_pearson(10, 10) == (pytest.approx(0.025**0.1), 1.0)
    # Clopper & Pearson (1934), as tabulated for 3 of 20
    assert clopper_pearson(3, 20) == pytest.approx((0.03207, 0.37893), abs=1e-5)


def test_command_line_rechecks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], made: Bundle
) -> None:
    monkeypatch.chdir(tmp_path)
    made.save("a.guard")
    np.save("new.npy", PRODUCTION)
    Path("net.py").write_text(
        "from tests.unit.test_guard_bundle import network\nfrom tests.unit.test_guard_recheck import moved\n"
        "def wide(): return network().double()\ndef other(): return moved(network(), 1.0)\n"
    )
    words = ("guard", "recheck", "a.guard", "new.npy", "--original", "net.py:network")
    assert typed(*words, "--model", "net.py:wide", "-o", "b.guard") == 0
    assert "At most 1.0% of verdicts change" in capsys.readouterr().out
    assert "re-checked for" in Bundle.load("b.guard").manifest.checks[-1]
    assert typed(*words, "--model", "net.py:other", "-o", "c.guard") == 3
    assert not Path("c.guard").exists()
    assert typed(*words, "--model", "net.py:wide", "--limit", "2") == 2
