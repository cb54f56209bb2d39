"""Content keys of large files are read once, and read again when a file was touched."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from outfield.data.datasets import ArrayDataset
from outfield.data.sources import _files
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.studies import remembered_keys, sets, stamp
from outfield.studies.spec import Spec
from tests.support import small_study


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    monkeypatch.setattr(remembered_keys, "LARGE", 1)
    monkeypatch.setattr(stamp, "SETTLED", -1.0)
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        Image.new("L", (8, 8), 40 * i).save(tmp_path / "pictures" / f"{i}.png")
    source = {"name": "folder", "path": str(tmp_path / "pictures")}
    return Spec.parse(small_study(ood=[{"name": "pictures", "category": "far", "source": source}]))


def digest(spec: Spec, cache: Cache | None) -> str:
    return sets.load(spec, cache).ood[0].data.digest()


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> bytes:
        raise AssertionError("a file was read")

    monkeypatch.setattr(_files.Paths, "__call__", read)


def test_files_that_were_not_touched_are_not_read_again(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    first = digest(spec, cache)
    assert first == digest(spec, None), "the keys are those of the contents"
    unread(monkeypatch)
    assert digest(spec, cache) == first
    with pytest.raises(UserError, match="a file was read"):
        digest(spec, None)


@pytest.mark.parametrize("kept", [False, True])
def test_a_file_that_was_changed_is_read(spec: Spec, tmp_path: Path, kept: bool) -> None:
    cache, picture = Cache(tmp_path / "cache"), tmp_path / "pictures" / "1.png"
    first, before = digest(spec, cache), picture.stat()
    Image.new("L", (8, 8), 99).save(picture)
    if kept:
        os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest(spec, cache) != first
    assert digest(spec, cache) == digest(spec, None)


def test_another_decoding_of_the_same_files_has_keys_of_its_own(spec: Spec, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    small = spec.ood[0].source.model_copy(update={"side": 4})
    other = spec.model_copy(update={"ood": (spec.ood[0].model_copy(update={"source": small}),)})
    assert digest(spec, cache) != digest(other, cache) == digest(other, None)


def test_small_files_and_files_touched_just_now_are_read_each_time(
    spec: Spec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    monkeypatch.setattr(stamp, "SETTLED", 60.0)
    digest(spec, cache)
    monkeypatch.setattr(stamp, "SETTLED", -1.0)
    monkeypatch.setattr(remembered_keys, "LARGE", 1 << 30)
    digest(spec, cache)
    assert cache.entries() == []


def test_a_stamp_tells_size_and_absence(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", np.zeros(100))
    path = tmp_path / "set.npy"
    assert stamp.Stamp.of([tmp_path]).size == stamp.Stamp.of([path]).size == path.stat().st_size
    assert stamp.Stamp.of([tmp_path / "absent"]).newest == 0


def test_keys_of_other_rows_are_refused() -> None:
    data = ArrayDataset(np.zeros((3, 2), np.float32))
    with pytest.raises(UserError, match="each of 3 rows"):
        data.recall_row_keys(np.array(["a", "b"]))
    assert len(data.row_keys) == 3
