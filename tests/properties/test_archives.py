"""Archives and arrays with any names, links and damage: what was written comes out, or a ``UserError`` does."""

from __future__ import annotations

import io
import tarfile
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from outfield.data.base import Dataset, Source
from outfield.data.check import check
from outfield.data.sources.arrays import Arrays
from outfield.data.sources.webdataset import Webdataset
from outfield.data.sources.zip import Zip
from outfield.errors import UserError
from tests.properties.support import attacked

LEVELS = (3, 90, 200)
PARTS = ["a", "b", "..", ".", "", "__MACOSX", ".hid", "c\nd", "[/red]", "é", "e\\f", "0", "1", "a\0b", "\udce9", "C:"]
names = st.lists(st.sampled_from(PARTS), max_size=3).map(lambda parts: "/".join([*parts, "x.png"]))
damage = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8)
shares = st.sampled_from([1.0, 1.0, 1.0]) | st.floats(0, 1)


def picture(level: int) -> bytes:
    Image.new("L", (4, 4), level).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


PICTURES = [picture(level) for level in LEVELS]


def damaged(content: bytes, flips: list[tuple[float, int]], kept: float) -> bytes:
    changed = bytearray(content)
    for place, value in flips:
        changed[int(place * (len(changed) - 1))] = value
    return bytes(changed[: int(kept * len(changed))])


@contextmanager
def written(content: bytes, ending: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, f"x{ending}")
        path.write_bytes(content)
        yield str(path)


def read(source: Callable[[], Source]) -> tuple[Dataset, Any] | None:
    """The data and all items; None where a ``UserError`` says what is wrong with them, ``check`` and digest alike."""
    try:
        data = source().load()
    except UserError:
        return None
    try:
        data.digest()
        return data, data.read(slice(None))
    except UserError:
        assert not check({"set": data}).sound
        return None


def zipped(members: list[tuple[str, bytes]], how: int) -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(buffer := io.BytesIO(), "w", how) as archive:
            for name, content in members:
                archive.writestr(name.encode("utf-8", "replace").decode(), content)
    return buffer.getvalue()


def tarred(members: list[tuple[str, bytes]]) -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w") as archive:
        for name, content in members:
            about = tarfile.TarInfo(name)
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return buffer.getvalue()


def inside(name: str) -> str | None:
    """Where a member lies, by its own words; None where no picture is to be read."""
    parts = [part for part in name.split("\0", maxsplit=1)[0].split("/") if part not in ("", ".")]
    foreign = any(part.startswith(".") or part == "__MACOSX" for part in parts)
    return None if foreign or not parts or not parts[-1].endswith(".png") else "/".join(parts)


@attacked
@given(st.lists(names, min_size=1, max_size=4), st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_any_names_in_a_zip(listed: list[str], how: int) -> None:
    members = [(name, PICTURES[i % 3]) for i, name in enumerate(listed)]
    with written(zipped(members, how), ".zip") as path:
        found = read(lambda: Zip(path))
    if found is None:
        return
    assert not any(".." in name.split("\0")[0].split("/") for name in listed)
    stored = [name.encode("utf-8", "replace").decode().split("\0")[0] for name in listed]
    windows = not any("/" in name for name in stored if not name.endswith("/"))
    last = {inside(name.replace("\\", "/") if windows else name): LEVELS[i % 3] for i, name in enumerate(stored)}
    expected = sorted((name, level) for name, level in last.items() if name)
    data, items = found
    assert [int(item.ravel()[0]) for item in items] == [level for _, level in expected]
    if data.labels is not None:
        folders = [name.split("/")[0] for name, _ in expected]
        assert data.labels.tolist() == [sorted(set(folders)).index(folder) for folder in folders]


@attacked
@given(st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]), damage, shares)
def test_a_damaged_zip(how: int, flips: list[tuple[float, int]], kept: float) -> None:
    members = [(f"{'ab'[i % 2]}/{i}.png", content) for i, content in enumerate(PICTURES)]
    with written(damaged(zipped(members, how), flips, kept), ".zip") as path:
        found = read(lambda: Zip(path))
        assert found is None or {int(item.ravel()[0]) for item in found[1]} <= set(LEVELS)
        left = read(lambda: Zip(path, broken="leave out"))
        assert left is None or {int(item.ravel()[0]) for item in left[1]} <= set(LEVELS)


@attacked
@given(st.lists(names, min_size=1, max_size=4))
def test_any_names_in_a_tar(listed: list[str]) -> None:
    members = [(name.replace("x.png", f"{i}.png").replace("\0", ""), PICTURES[i % 3]) for i, name in enumerate(listed)]
    with written(tarred(members), ".tar") as path:
        found = read(lambda: Webdataset(path))
    expected = [content for name, content in members if inside(name)]
    if found is not None:
        assert not any(".." in name.split("/") for name in listed)
        assert [picture(int(item.ravel()[0])) for item in found[1]] == expected


@attacked
@given(damage, shares)
def test_a_damaged_tar(flips: list[tuple[float, int]], kept: float) -> None:
    members = [
        (f"{i}.{end}", content)
        for i, one in enumerate(PICTURES)
        for end, content in (("png", one), ("cls", b"%d" % i), ("json", b'{"cls": 1}'))
    ]
    whole = tarred(members).rstrip(b"\0") + bytes(2048)
    with written(damaged(whole, flips, kept), ".tar") as path:
        found = read(lambda: Webdataset(path))
    if found is not None and not flips:
        assert len(found[1]) == len(PICTURES) and found[0].labels.tolist() == [0, 1, 2]


SHAPES = [(3, 4), (2, 3, 3), (2, 3, 3, 1), (2, 2, 2, 3), (0, 3), (3,), (), (2, 1, 1, 1, 1), (2, 3, 3, 4)]
TYPES = ["u1", "i8", "<f4", ">f4", "f2", "f8", "?", "c8", "U2", "M8[s]", "O"]


@attacked
@given(
    st.tuples(
        st.sampled_from(SHAPES),
        st.sampled_from(TYPES),
        st.sampled_from(["npy", "npz", "compressed"]),
        st.booleans(),
        damage,
        shares,
    )
)
def test_arrays_of_any_kind_and_damage(case: tuple[Any, ...]) -> None:
    shape, dtype, form, fortran, flips, kept = case
    ones = np.ones(shape, dtype=dtype, order="F" if fortran else "C")
    save = {"npy": np.save, "npz": np.savez, "compressed": np.savez_compressed}[form]
    save(buffer := io.BytesIO(), ones)
    whole = not flips and kept == 1.0
    content = buffer.getvalue() if whole else damaged(buffer.getvalue(), flips, kept)
    with written(content, ".npy" if form == "npy" else ".npz") as path:
        found = read(lambda: Arrays(path))
    picturesque = len(shape) == 3 or (len(shape) == 4 and shape[3] in (1, 3))
    fit = dtype in ("u1", "<f4", ">f4", "f2", "f8") or (dtype == "i8" and len(shape) == 2)
    if whole:
        assert (found is not None) == (fit and shape[0:1] != (0,) and (picturesque or len(shape) == 2))
    if found is not None and (whole or form != "npy"):
        assert (np.asarray(found[1]) == 1).all() and np.size(found[1]) == ones.size
