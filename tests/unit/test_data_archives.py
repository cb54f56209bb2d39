"""Zips, arrays and tars: damaged, foreign, hostile; what systems put into them; sizes that are only stated."""

from __future__ import annotations

import io
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from outfield.data.check import check
from outfield.data.sources.arrays import Arrays
from outfield.data.sources.folder import Folder
from outfield.data.sources.imglist import Imglist
from outfield.data.sources.webdataset import Webdataset
from outfield.data.sources.zip import Zip
from outfield.data.user_data import dataset
from outfield.errors import NotThere, UserError


def picture(level: int) -> bytes:
    Image.new("L", (4, 4), level).save(buffer := io.BytesIO(), "PNG")
    return buffer.getvalue()


def zipped(path: Path, content: Mapping[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def tarred(path: Path, members: list[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return path


def levels(data: Any) -> list[int]:
    return [int(one.ravel()[0]) for one in data.read(slice(None))]


def test_a_zip_made_by_a_mac_is_read(tmp_path: Path) -> None:
    beside = ("__MACOSX/cat/._x.png", "__MACOSX/x.png", "cat/.DS_Store", "cat/Thumbs.db", "._cat", ".hidden/y.png")
    content = {"cat/x.png": picture(3), "cat/notes.pdf": b"", **dict.fromkeys(beside, b"...")}
    data = Zip(str(zipped(tmp_path / "set.zip", content))).load()
    assert data.classes == ("cat",) and levels(data) == [3]
    report = check({"set": data})
    assert report.sound and "6 hidden or system files" in report.notes[0] and ".pdf" in report.notes[1]


def test_names_of_members_are_paths_inside(tmp_path: Path) -> None:
    for i, prefix in enumerate(("./cat/", "/cat/", "cat//", "cat/./")):
        data = Zip(str(zipped(tmp_path / f"{i}.zip", {f"{prefix}x.png": picture(5)}))).load()
        assert data.classes == ("cat",) and levels(data) == [5], prefix
    windows = Zip(str(zipped(tmp_path / "w.zip", {"cat\\x.png": picture(1), "dog\\y.png": picture(2)}))).load()
    assert windows.classes == ("cat", "dog") and levels(windows) == [1, 2]
    with pytest.raises(UserError, match=r"'\.\./x.png' leads out of it"):
        Zip(str(zipped(tmp_path / "out.zip", {"../x.png": picture(1)}))).load()


def test_a_folder_named_as_a_picture_is_none(tmp_path: Path) -> None:
    assert levels(Zip(str(zipped(tmp_path / "a.zip", {"a.png/": b"", "a.png/x.png": picture(1)}))).load()) == [1]
    (tmp_path / "set" / "a.png").mkdir(parents=True)
    (tmp_path / "set" / "a.png" / "x.png").write_bytes(picture(1))
    assert Folder(str(tmp_path / "set")).load().classes == ("a.png",)


def test_of_one_name_twice_the_last_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "set.zip", {"a/x.png": picture(1)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("a/x.png", picture(2))
    assert levels(Zip(str(path)).load()) == [2]


def test_damaged_encrypted_and_bloated_members_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "set.zip", {f"a/{i}.png": picture(i) for i in range(4)})
    with zipfile.ZipFile(path) as archive:
        places = [info.header_offset for info in archive.infolist()]
        directory = archive.start_dir
    content = bytearray(path.read_bytes())
    content[places[0] + 30 + 7] = 0xFF
    content[places[1] + 6] |= 1
    content[content.index(b"PK\1\2", content.index(b"PK\1\2", directory) + 4) + 8] |= 1
    (tmp_path / "damaged.zip").write_bytes(content)
    with pytest.raises(UserError, match="2 of 4 cannot") as caught:
        Zip(str(tmp_path / "damaged.zip")).load().read(slice(None))
    assert "a/0.png: Error -3" in str(caught.value) and "a/1.png: is encrypted" in str(caught.value)
    with pytest.raises(UserError, match="2 of 4 cannot"):
        Zip(str(tmp_path / "damaged.zip")).load().digest()
    assert len(Zip(str(tmp_path / "damaged.zip"), broken="leave out").load()) == 2
    monkeypatch.setenv("OUTFIELD_MOST_FILE_BYTES", "1000000")
    bomb = zipped(tmp_path / "bomb.zip", {"a/x.png": bytes(10**6 + 1)})
    with pytest.raises(UserError, match=r"a/x.png: is too large: 1,000,001 bytes"):
        Zip(str(bomb)).load().read(slice(None))


def test_a_member_that_is_longer_than_stated_is_not_unpacked(tmp_path: Path) -> None:
    path = zipped(tmp_path / "bomb.zip", {"a/x.png": bytes(50_000_000)})
    content = path.read_bytes().replace(struct.pack("<I", 50_000_000), struct.pack("<I", 100))
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"a/x.png: Bad CRC"):
        Zip(str(path)).load().read(slice(None))


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\5\6" + bytes(18), b"no zip at all"])
def test_what_is_no_zip(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UserError, match="x.zip"):
        Zip(str(tmp_path / "x.zip")).load()


def header(text: str, version: int = 1) -> bytes:
    length = struct.pack("<H" if version == 1 else "<I", len(text) + 1)
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + b"\n"


NPY = {
    "empty": (b"", "cannot be read"),
    "token": (header("{'descr': '<f4', 'fortran_order': False, 'shape': (2,"), "cannot be read"),
    "deep": (header("(" * 5000), "cannot be read"),
    "long": (header("{'descr': '<f4', 'fortran_order': False, 'shape': (10, 1000), }"), "cannot be read"),
    "huge": (header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({2**62}, {2**62}), }}"), "cannot be read"),
    "minus": (header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 4), }") + bytes(64), "Expected"),
    "version": (header("{}", 9), "cannot be read"),
}


@pytest.mark.parametrize("name", NPY)
def test_damaged_npy(tmp_path: Path, name: str) -> None:
    content, message = NPY[name]
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(UserError, match=message):
        Arrays(str(tmp_path / "x.npy")).load()
    zipped(tmp_path / "x.npz", {"items.npy": content})
    with pytest.raises(UserError, match="Expected"):
        Arrays(str(tmp_path / "x.npz")).load()


ODD = {
    "scalar": (np.float32(3), r"got shape \(\)"),
    "line": (np.zeros(3), r"got shape \(3,\)"),
    "structured": (np.zeros(3, [("a", "f4")]), "an array of numbers, but got"),
    "complex": (np.zeros((3, 2), complex), "got complex128"),
    "text": (np.array([["a", "b"]]), "got <U1"),
    "flat": (np.zeros((3, 0, 4, 1), np.float32), r"got shape \(3, 0, 4, 1\)"),
    "none": (np.zeros((0, 4, 4), np.float32), "at least one row"),
    "objects": (np.array([[{}]], object), "pickled objects, which are never loaded"),
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_arrays_that_are_no_items(tmp_path: Path, name: str, ending: str) -> None:
    array, message = ODD[name]
    if ending == "npy":
        np.save(tmp_path / "x.npy", array, allow_pickle=True)
    else:
        np.savez(tmp_path / "x.npz", items=array)
    with pytest.raises(UserError, match=message):
        Arrays(str(tmp_path / f"x.{ending}")).load()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
def test_archives_of_arrays_hold_what_was_saved(tmp_path: Path, save: Any, order: str) -> None:
    items = np.asarray(np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8), order=order)
    save(tmp_path / "set.npz", images=items, labels=[0, 1, 0, 1, 1], more=np.array([{}], object))
    data = Arrays(str(tmp_path / "set.npz"), labels="labels").load()
    assert (data.read(slice(None))[..., 0] == items).all() and data.labels.tolist() == [0, 1, 0, 1, 1]
    assert isinstance(data.items.base, np.memmap) == (save is np.savez)


def test_a_flipped_byte_in_an_archive_of_arrays_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", items=np.arange(4096, dtype=np.uint8).reshape(4, 32, 32))
    content = bytearray((tmp_path / "set.npz").read_bytes())
    content[2000] ^= 1
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(UserError, match="Bad CRC"):
        Arrays(str(tmp_path / "set.npz")).load()


def test_what_an_archive_unpacks_to_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = np.zeros((100, 32, 32), np.uint8)
    np.savez_compressed(tmp_path / "small.npz", items=items, other=np.zeros(10**6))
    np.savez(tmp_path / "plain.npz", items=items)
    monkeypatch.setenv("OUTFIELD_MOST_ARRAY_BYTES", "102399")
    with pytest.raises(UserError, match=r"small.npz:items, but unpacked it has 102,400 bytes, more than the limit of"):
        Arrays(str(tmp_path / "small.npz"), items="items").load()
    assert len(Arrays(str(tmp_path / "plain.npz")).load()) == 100
    monkeypatch.setenv("OUTFIELD_MOST_ARRAY_BYTES", "102400")
    assert len(Arrays(str(tmp_path / "small.npz"), items="items").load()) == 100


def test_a_shape_that_its_file_does_not_hold_is_refused(tmp_path: Path) -> None:
    head = header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000, 32, 32), }")
    zipped(tmp_path / "x.npz", {"items.npy": head + bytes(100)})
    with pytest.raises(UserError, match=r"shape \(1000, 32, 32\)"):
        Arrays(str(tmp_path / "x.npz")).load()
    (tmp_path / "half.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:60])
    with pytest.raises(UserError, match="half.npz"):
        dataset(tmp_path / "half.npz")


def test_paths_of_arrays_begin_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "x.npy", np.zeros((2, 3)))
    assert len(Arrays("~/x.npy").load()) == 2 and Arrays("~/x.npy").files() == (tmp_path / "x.npy",)
    for make in (Arrays, Zip, Folder, Webdataset, lambda path: Imglist(path, path)):
        for path in ("~nobody-of-this-name/x", "a\0b"):
            with pytest.raises(UserError, match="there is no"):
                make(path).load()


def samples(count: int) -> list[tuple[str, bytes]]:
    return [(f"{i}.{end}", data) for i in range(count) for end, data in (("png", picture(i)), ("cls", b"%d" % i))]


def test_a_tar_damaged_in_the_middle_is_refused_not_cut(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar", samples(4))
    with tarfile.open(path) as archive:
        place = archive.getmember("2.png").offset
    content = bytearray(path.read_bytes())
    content[place + 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=f"damaged at byte {place:,}"):
        Webdataset(str(path)).load()
    path.write_bytes(content[: place - 700])
    with pytest.raises(UserError, match="cannot be read"):
        Webdataset(str(path)).load()


def test_tars_one_after_the_other_are_refused(tmp_path: Path) -> None:
    path = tarred(tmp_path / "x.tar", samples(2))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(UserError, match="what follows cannot be read"):
        Webdataset(str(path)).load()


def test_tars_of_systems_links_and_second_pictures(tmp_path: Path) -> None:
    members = [("./a/1.seg.png", picture(9)), ("./a/1.png", picture(1)), ("./a/1.cls", b" 7\n")]
    members += [("./a/._1.png", b"..."), ("./__MACOSX/a/1.png", b"..."), (".DS_Store", b"")]
    path = tarred(tmp_path / "x.tar", members)
    with tarfile.open(path, "a") as archive:
        for name, target in (("2.png", "./a/1.png"), ("2.cls", "./a/1.cls")):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.LNKTYPE, target
            archive.addfile(link)
    data = Webdataset(str(path)).load()
    assert levels(data) == [1, 1] and data.labels.tolist() == [7, 7]
    assert "3 hidden or system files" in data.beside[0]
    twice = tarred(tmp_path / "twice.tar", [*samples(1), ("./0.png", picture(5))])
    with pytest.raises(UserError, match="it has two files '0.png'"):
        Webdataset(str(twice)).load()


@pytest.mark.parametrize("label", ["3.7", "true", "[3]", '"x"', "1e999", "{}", "[" * 100_000])
def test_labels_of_tars_are_whole_numbers(tmp_path: Path, label: str) -> None:
    path = tarred(tmp_path / "x.tar", [("0.png", picture(0)), ("0.json", f'{{"cls": {label}}}'.encode())])
    with pytest.raises(UserError, match=r"a number as the label 'cls' at .*x.tar:0"):
        Webdataset(str(path)).load()


def test_an_endless_range_of_shards_is_refused(tmp_path: Path) -> None:
    for make in (lambda source: source.load(), lambda source: source.files()):
        with pytest.raises(UserError, match="at most 100,000 shards"):
            make(Webdataset(str(tmp_path / "x-{0..9999999999}-{0..9999}.tar")))


def test_lists_of_other_bytes_and_ends_of_lines(tmp_path: Path) -> None:
    name = "caf\udce9\x85 a.png"
    (tmp_path / name).write_bytes(picture(4))
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbf" + name.encode("utf-8", "surrogateescape") + b" 1\r\n")
    data = Imglist(str(tmp_path / "list.txt"), str(tmp_path)).load()
    assert levels(data) == [4] and data.name_of(0).encode()
    (tmp_path / "list.txt").write_bytes(b"a\0b.png 1\n")
    with pytest.raises(NotThere, match=r"a\\x00b.png"):
        Imglist(str(tmp_path / "list.txt"), str(tmp_path)).load()
