"""``outfield doctor --data`` reads everything once, and its exit status says whether something is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.integration.test_cli import typed
from tests.support import small_study


def pictures(folder: Path, count: int, seed: int, side: int = 8) -> Path:
    rng = np.random.default_rng(seed)
    for i in range(count):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study of picture folders that lie beside its file, and unit tests."""
    for seed, name in enumerate(("train", "val", "test", "far")):
        pictures(tmp_path / name, 12, seed)
    sources = {name: {"name": "folder", "path": name} for name in ("train", "val", "test", "far")}
    unit_tests = {"name": "synthetic", "names": ["black"], "each": 3, "side": 8}
    content = small_study(
        id={split: sources[split] for split in ("train", "val", "test")},
        ood=[
            {"name": "far", "category": "far", "source": sources["far"]},
            {"name": "unit tests", "category": "synthetic", "source": unit_tests},
        ],
    )
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    return tmp_path / "study.yaml"


def test_sound_data(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("doctor", "--data", str(study)) == 0
    said = capsys.readouterr().out
    assert "Drawn, not read: unit tests" in said and "ood far: 12 rows" in said and "Nothing is wrong." in said


def test_everything_that_is_wrong_is_told(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = study.parent
    (root / "far/a/0.png").write_bytes((root / "test/a/2.png").read_bytes())
    (root / "test/b/1.png").write_bytes((root / "train/b/3.png").read_bytes())
    (root / "val/a/0.png").write_text("no picture")
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(root / "train/a/0.png")
    assert typed("doctor", "--data", str(study)) == 1
    said = capsys.readouterr().out
    for text in (
        "val: 1 row of 12 cannot be read",
        "is no picture that Pillow can identify",
        "train, test: 1 row of test is in train too",
        "test, ood far: 1 row of ood far is in test too",
        "train: 1 row of 12 is 9 x 8 x 1, most are 8 x 8 x 1",
        "4 findings",
    ):
        assert text in said, text


def test_sizes_are_no_fault_where_every_model_resizes(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = yaml.safe_load(study.read_text())
    network = {"name": "small_cnn", "classes": 2}
    content["models"] = [{"weights": "w.pt", "label": "w", "network": network, "preprocess": {"side": 8}}]
    study.write_text(yaml.safe_dump(content))
    Image.fromarray(np.zeros((9, 8), np.uint8)).save(study.parent / "train/a/0.png")
    assert typed("doctor", "--data", str(study)) == 0
    assert "every model brings pictures to its own" in capsys.readouterr().out


def test_a_folder_of_splits_a_folder_of_classes_and_what_is_not_there(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("doctor", "--data", str(study.parent)) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "  train: 12 rows, 8 x 8 x 1",
        "  val: 12 rows, 8 x 8 x 1",
        "  test: 12 rows, 8 x 8 x 1",
        "  far: 12 rows, 8 x 8 x 1",
        "Nothing is wrong.",
    ]
    assert typed("doctor", "--data", str(study.parent / "far")) == 0
    assert "far: 12 rows" in capsys.readouterr().out
    assert typed("doctor", "--data", str(study.parent / "none")) == 1
    assert "Expected a folder at" in capsys.readouterr().out
    assert typed("doctor", "--data", str(study.parent / "none.yaml")) == 2


def test_what_may_surprise_is_told_and_is_no_fault(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, exif = study.parent, Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(9).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(noise).save(root / "test/a/0.png", exif=exif)
    Image.fromarray(noise.astype(np.uint16) * 250).save(root / "test/a/2.png")
    (root / "test/a/._0.png").write_bytes(b"...")
    (root / "test/__MACOSX").mkdir()
    assert typed("doctor", "--data", str(study)) == 0
    said = capsys.readouterr().out
    for text in (
        "Nothing is wrong.\nWorth knowing:",
        "test: 1 row of 12 turned by an EXIF orientation that is not applied",
        "test: 1 row of 12 with more than 8 bits of grey: scaled to 8",
        "test: 2 hidden or system files or folders passed over: __MACOSX, ._0.png",
    ):
        assert text in said, text


def test_archives_and_arrays_are_read_by_their_ending(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", items)
    np.savez_compressed(tmp_path / "x.npz", images=items, labels=[0, 1, 0, 1, 0])
    for ending in ("npy", "npz"):
        assert typed("doctor", "--data", str(tmp_path / f"x.{ending}")) == 0
        assert f"x.{ending}: 5 rows, 8 x 8 x 1" in capsys.readouterr().out
    for ending in ("npy", "npz", "zip", "tar"):
        (tmp_path / f"y.{ending}").write_bytes(b"...")
        assert typed("doctor", "--data", str(tmp_path / f"y.{ending}")) in (1, 2)
        assert f"/y.{ending}" in "".join(capsys.readouterr())


@pytest.mark.parametrize("name", ["[red]x[\\red]", "a\nb", "caf\udce9"])
def test_odd_names_are_printed(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / name, 4, 0)
    (tmp_path / name / "a" / f"{name}.png").write_bytes(b"")
    assert typed("doctor", "--data", str(tmp_path / name)) == 1
    said = capfd.readouterr().out
    assert "1 row of 5 cannot be read (1 empty)" in said and said.encode()
