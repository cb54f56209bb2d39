"""Pictures keep their values whatever their format says: depth, transparency, palettes, orientation, shape, size."""

from __future__ import annotations

import os
import struct
import threading
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from outfield import registry
from outfield.dashboard import sample
from outfield.data import limits, pictures
from outfield.data.check import check
from outfield.data.limits import Budget, Limit
from outfield.data.sources import _decoding
from outfield.data.sources._decoding import Decoding
from outfield.data.sources._files import FileDataset
from outfield.data.sources.folder import Folder
from outfield.data.views import concatenated, subset
from outfield.errors import UserError
from outfield.models.preprocess import Pictures
from outfield.studies.stamp import Stamp
from tests.support_pictures import png

GREY16 = np.array([[0, 257, 30_000, 65_535]], np.uint16)


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    image.save(buffer := BytesIO(), kind, **options)
    return buffer.getvalue()


def turned(orientation: int, kind: str = "PNG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3)), kind, exif=exif)


def data_of(*contents: bytes, **how: Any) -> FileDataset:
    return FileDataset([f"{i}.png" for i in range(len(contents))], contents.__getitem__, Decoding(**how), "here")


@pytest.mark.parametrize("transparency", [b"", b"\x75\x30"])
def test_grey_of_16_bits_is_scaled_with_or_without_transparency(transparency: bytes) -> None:
    content = png(GREY16, depth=16, colour=0, transparency=transparency)
    assert Decoding()(content).tolist() == [[[0], [1], [117], [255]]]
    assert Decoding(channels=3)(content)[0, 2].tolist() == [117] * 3


@pytest.mark.parametrize("transparency", [b"", b"\0\1"])
@pytest.mark.parametrize(("depth", "expected"), [(1, [0, 255]), (2, [0, 85, 170, 255]), (8, [0, 1, 100, 255])])
def test_grey_stays_grey_with_or_without_transparency(depth: int, expected: list[int], transparency: bytes) -> None:
    levels = np.array([expected], np.uint8) if depth == 8 else np.arange(2**depth, dtype=np.uint8)[None]
    content = png(levels, depth=depth, colour=0, transparency=transparency)
    assert Decoding()(content).tolist() == [[[value] for value in expected]]
    assert Decoding(channels=1)(content).tolist() == [[[value] for value in expected]]


def test_grey_of_16_bits_with_an_alpha_channel_is_grey() -> None:
    values = np.array([[[65_535, 30_000], [200 * 257, 1_000]]], np.uint16)
    assert Decoding()(png(values, depth=16, colour=4)).tolist() == [[[255], [200]]]


def test_colour_of_16_bits_keeps_its_upper_byte() -> None:
    values = np.array([[[0x12FF, 0xFF00, 0x8080]]], np.uint16)
    assert Decoding()(png(values, depth=16, colour=2)).tolist() == [[[0x12, 0xFF, 0x80]]]


def test_what_lies_below_transparency_is_kept() -> None:
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        content = encoded(Image.new("RGBA", (2, 2), (10, 20, 30, 0)), kind, **options)
        assert Decoding()(content)[0, 0].tolist() == [10, 20, 30], kind


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I"])
def test_deep_tiff_of_either_byte_order(mode: str) -> None:
    order = {"I;16": "<u2", "I;16B": ">u2", "I": "<i4"}[mode]
    image = Image.frombytes(mode, (4, 1), GREY16.astype(order).tobytes())
    assert Decoding()(encoded(image, "TIFF")).ravel().tolist() == [0, 1, 117, 255]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_of_several_frames_the_first_is_read_and_that_is_noted(kind: str) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 255, 0)))
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(first, kind, save_all=True, append_images=[second], **options)
    picture, notes = Decoding().notes(content)
    assert picture[0, 0].tolist() == [255, 0, 0] and _decoding.FRAMES in notes
    assert _decoding.FRAMES not in Decoding().notes(encoded(first, kind, **options))[1]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_turns_as_exif_says(orientation: int, kind: str) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    ways = [
        pixels,
        pixels[:, ::-1],
        pixels[::-1, ::-1],
        pixels[::-1],
        pixels.T,
        np.rot90(pixels, -1),
        np.rot90(pixels, 2).T,
        np.rot90(pixels),
    ]
    how = {"lossless": True} if kind == "WEBP" else {}
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(pixels), kind, exif=exif, **how)
    found = Decoding(channels=1, upright=True)(content)[:, :, 0]
    assert found.tolist() == ways[orientation - 1].tolist()
    plain, notes = Decoding(channels=1).notes(content)
    assert plain[:, :, 0].tolist() == (ways[orientation - 1] if kind == "TIFF" else pixels).tolist()
    assert (_decoding.TURNED in notes) == (orientation > 1 and kind != "TIFF")
    assert _decoding.TURNED not in Decoding(upright=True).notes(content)[1]


def test_every_picture_source_offers_upright() -> None:
    picture_sources = ("folder", "zip", "imglist", "webdataset", "hub")
    for name in picture_sources:
        assert registry.find("sources", name).__dataclass_fields__["upright"].default is False, name


def test_upright_changes_the_key() -> None:
    assert data_of(turned(6)).digest() != data_of(turned(6), upright=True).digest()


def test_notes_are_counted_through_views_and_are_no_findings(tmp_path: Path) -> None:
    contents = {
        "a": turned(6),
        "b": turned(3),
        "c": turned(1),
        "d": png(GREY16, depth=16, colour=0),
        "e": encoded(Image.new("RGBA", (4, 4), (1, 2, 3, 4)), "PNG"),
        "f": encoded(Image.new("RGB", (4, 4), (9, 9, 9)).quantize(2), "PNG"),
        "g": encoded(Image.new("CMYK", (4, 4)), "TIFF"),
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.png").write_bytes(content)
    data = Folder(str(tmp_path)).load()
    report = check({"some": subset(data, np.arange(7))})
    said = str(report)
    assert "some: 2 rows of 7 turned by an EXIF orientation" in said and "the first is" in said
    for text in ("1 row of 7 transparent", "1 row of 7 with a palette", "with more than 8 bits", "in CMYK"):
        assert text in said, text
    assert "some: 4 rows of 7 grey, 3 in colour" in said
    assert {finding.kind for finding in report.findings} <= {"size", "duplicate"}
    assert (
        not check({"some": subset(data, [2])}).notes
        and len(check({"both": concatenated({"a": data, "b": data})}).notes) == 6
    )


def test_what_lies_beside_the_pictures_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "cat"
    (folder / "__MACOSX").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "cat").mkdir(parents=True)
    Image.new("L", (4, 4)).save(folder / "x.png")
    for name in ("._x.png", ".DS_Store", "Thumbs.db", "desktop.ini", "notes.pdf", "table.h5", "__MACOSX/x.png"):
        (folder / name).write_bytes(b"...")
    (tmp_path / "__MACOSX" / "cat" / "x.png").write_bytes(b"...")
    data = Folder(str(tmp_path)).load()
    assert data.classes == ("cat",) and len(data) == 1
    report = check({"set": data})
    assert report.sound and len(report.notes) == 2
    assert "set: 6 hidden or system files or folders passed over" in report.notes[0]
    assert report.notes[1] == "set: 2 files that are no pictures by name passed over: .pdf, .h5"


def test_broken_pictures_are_told_by_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8))
    (tmp_path / "half.jpg").write_bytes(encoded(noise, "JPEG")[:-400])
    (tmp_path / "none.png").write_bytes(b"")
    noise.resize((90, 90)).save(tmp_path / "large.png")
    noise.save(tmp_path / "whole.png")
    monkeypatch.setenv("OUTFIELD_MOST_PIXELS", "8000")
    (finding,) = check({"set": Folder(str(tmp_path))}).findings
    assert finding.text == "3 rows of 4 cannot be read (1 truncated, 1 too large, 1 empty)"
    assert any(
        "large.png: is too large: 8,100 pixels, more than the limit of 8,000; set $OUTFIELD_MOST_PIXELS" in example
        for example in finding.examples
    )


@pytest.mark.parametrize(("width", "height"), [(6_000, 1), (1, 60_000), (2, 70_000)])
def test_long_pictures_take_no_memory(width: int, height: int) -> None:
    content = encoded(Image.new("L", (width, height), 9), "PNG")
    assert Decoding(side=224)(content).tolist() == np.full((224, 224, 1), 9).tolist()
    item = Decoding()(content)
    for picture in (item, item.astype(np.float32) / 255):
        tracemalloc.start()
        inputs = Pictures(side=224, channels=3, crop=0.875, interpolation="bicubic")([picture])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert inputs.shape == (1, 3, 224, 224) and peak < 2**25
        np.testing.assert_allclose(inputs.numpy(), 9 / 255, atol=1e-6)


SHAPES = [(20, 20), (20, 31), (64, 48), (100, 7), (9, 300), (500, 333), (1, 40)]


@pytest.mark.parametrize(("width", "height"), SHAPES)
@pytest.mark.parametrize("side", [8, 32, 224])
def test_pictures_of_usual_shapes_are_resized_as_ever(width: int, height: int, side: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    factor = side / min(width, height)
    size = max(side, round(width * factor)), max(side, round(height * factor))
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    whole = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR)
    expected = np.asarray(whole.crop((left, top, left + side, top + side)))
    assert (Decoding(side=side)(encoded(Image.fromarray(pixels), "PNG")) == expected).all()


@pytest.mark.parametrize("method", [Image.Resampling[name] for name in ("BILINEAR", "BICUBIC", "LANCZOS")])
@pytest.mark.parametrize(("width", "height"), SHAPES)
def test_the_part_alone_is_the_part_of_the_whole(
    width: int, height: int, method: Image.Resampling, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(1).integers(0, 256, (height, width))
    eight_bit = method == Image.Resampling.BILINEAR
    image = Image.fromarray(values.astype(np.uint8 if eight_bit else np.float32))
    size = 64 * width // min(width, height), 64 * height // min(width, height)
    corner = (size[0] - 64) // 2, (size[1] - 64) // 2
    whole = np.asarray(pictures.cut(image, size, corner, 64, method), np.float64)
    monkeypatch.setattr(pictures, "WHOLE", 0)
    part = np.asarray(pictures.cut(image, size, corner, 64, method), np.float64)
    assert np.abs(whole - part).max() <= (1 if eight_bit else 0.02)


def test_a_limit_is_named_moved_and_checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    Image.new("1", (9_001, 9_000)).save(tmp_path / "huge.png")
    with pytest.raises(
        UserError, match=r"huge.png: is too large: 81,009,000 pixels, more than the limit of 80,000,000"
    ):
        Folder(str(tmp_path), side=8).load().read(slice(None))
    monkeypatch.setenv("OUTFIELD_MOST_PIXELS", "81009000")
    assert Folder(str(tmp_path), side=8).load().read(slice(None)).shape == (1, 8, 8, 1)
    for wrong in ("-1", "many", "0", "1e9", "²"):
        monkeypatch.setenv("OUTFIELD_MOST_PIXELS", wrong)
        with pytest.raises(UserError, match=r"a positive integer in \$OUTFIELD_MOST_PIXELS"):
            Folder(str(tmp_path)).load().read(slice(None))


def test_what_pillow_calls_a_bomb_is_a_broken_picture() -> None:
    content = png(np.zeros((1, 1), np.uint8), depth=8, colour=0)
    huge = content[:16] + struct.pack(">II", 100_000, 100_000) + content[24:29]
    huge += struct.pack(">I", zlib.crc32(huge[12:29])) + content[33:]
    with pytest.raises(UserError, match="is too large"):
        data_of(huge).read(slice(None))


def test_a_large_side_is_refused() -> None:
    with pytest.raises(UserError, match="side 100000 has 10,000,000,000 pixels"):
        Decoding(side=100_000)


def test_threads_share_the_pixels() -> None:
    budget, most, lock = Budget(Limit("OUTFIELD_MOST_OF_A_TEST", 100)), [0], threading.Lock()

    def work() -> None:
        for amount in (60, 30, 250, 10):
            with budget.share(amount), lock:
                most[0] = max(most[0], budget.used if amount != 250 else 0)
                assert amount != 250 or budget.used == 250

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads) and budget.used == 0 and 0 < most[0] <= 100


def test_decoding_takes_its_share_and_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    share = limits.DECODED.share
    monkeypatch.setattr(limits.DECODED, "share", lambda amount: taken.append(amount) or share(amount))
    with pytest.raises(OSError, match="truncated"):
        Decoding()(encoded(Image.effect_noise((40, 40), 50), "PNG")[:300])
    Decoding(side=4)(encoded(Image.new("L", (20, 30)), "PNG"))
    assert taken == [1600, 600] and limits.DECODED.used == 0


def test_what_draws_or_runs_programs_is_no_picture(tmp_path: Path) -> None:
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n"
    (tmp_path / "x.png").write_bytes(script)
    with pytest.raises(UserError, match=r"x.png: is no picture that Pillow can identify"):
        Folder(str(tmp_path)).load().read(slice(None))
    for name in ("x.eps", "x.pdf", "x.h5", "x.wmf", "x.mpg"):
        (tmp_path / name).write_bytes(script)
    assert len(Folder(str(tmp_path)).load()) == 1


def test_a_digest_of_unreadable_files_is_an_error_that_names_them(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "one.png")
    data = Folder(str(tmp_path)).load()
    (tmp_path / "one.png").unlink()
    with pytest.raises(UserError, match=r"one.png: No such file"):
        data.digest()


def test_links_end_and_are_followed_once(tmp_path: Path) -> None:
    root = tmp_path / "set"
    (root / "cat").mkdir(parents=True)
    Image.new("L", (4, 4)).save(root / "cat" / "x.png")
    for name in ("one", "two", "cat/up", "cat/self"):
        (root / name).symlink_to(root if name != "cat/self" else root / "cat")
    data = Folder(str(root)).load()
    assert len(data) == 1 and data.classes == ("cat",)
    assert "4 links to folders that were read already passed over" in data.beside[0]


def test_links_to_other_places_and_between_classes_are_followed(tmp_path: Path) -> None:
    for i, name in enumerate(("set/cat/deep", "set/dog", "elsewhere/bird")):
        (tmp_path / name).mkdir(parents=True)
        Image.new("L", (4, 4), i).save(tmp_path / name / "x.png")
    (tmp_path / "set" / "bird").symlink_to(tmp_path / "elsewhere" / "bird")
    (tmp_path / "set" / "hound").symlink_to(tmp_path / "set" / "dog")
    (tmp_path / "set" / "cat" / "again").symlink_to(tmp_path / "set" / "cat" / "deep")
    data = Folder(str(tmp_path / "set")).load()
    assert data.classes == ("bird", "cat", "dog", "hound") and data.labels.tolist() == [0, 1, 2, 3]
    assert data.read(slice(None))[:, 0, 0, 0].tolist() == [2, 0, 1, 1]


def test_pipes_devices_and_dangling_links_are_told(tmp_path: Path) -> None:
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="3 of 4 cannot") as caught:
        Folder(str(tmp_path)).load().read(slice(None))
    said = str(caught.value)
    assert "pipe.png: is no regular file" in said and "zero.png: is no regular file" in said
    assert "gone.png: No such file" in said


def test_a_file_that_is_too_large_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.effect_noise((40, 40), 50).save(tmp_path / "x.png")
    monkeypatch.setenv("OUTFIELD_MOST_FILE_BYTES", "100")
    with pytest.raises(
        UserError, match=r"x.png: is too large: .* bytes, more than the limit of 100; set \$OUTFIELD_MOST_FILE_BYTES"
    ):
        Folder(str(tmp_path)).load().read(slice(None))


@pytest.mark.parametrize("name", ["a\nb", "[red]x[\\red]", "caf\udce9", "%s{0}", "é"])
def test_odd_names_survive(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    Image.new("L", (4, 4), 7).save(folder / f"{name}.png")
    (folder / "none.png").write_bytes(b"")
    data = Folder(str(tmp_path), broken="leave out").load()
    assert data.read(slice(None)).ravel()[0] == 7
    for text in (*data.classes, *data.left_out, data.name_of(0)):
        assert "\n" not in text and text.encode()
    with pytest.raises(UserError) as caught:
        Folder(str(folder / "none")).load()
    assert str(caught.value).encode() and "\n" not in str(caught.value)


def test_the_stamp_of_a_folder_that_links_to_itself_ends(tmp_path: Path) -> None:
    (tmp_path / "set" / "cat").mkdir(parents=True)
    (tmp_path / "set" / "cat" / "x.png").write_bytes(b"...")
    for name in ("one", "two", "cat/up"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "set")
    before = Stamp.of([tmp_path / "set"])
    assert before == Stamp.of([tmp_path / "set"]) and before.size > 0
    (tmp_path / "set" / "cat" / "y.png").write_bytes(b"...")
    assert Stamp.of([tmp_path / "set"]) != before


def test_the_dashboard_does_not_enlarge_a_long_picture() -> None:
    def shown(height: int, width: int) -> tuple[int, int]:
        origin = SimpleNamespace(item=lambda name, row: np.zeros((height, width, 1), np.uint8))
        with Image.open(BytesIO(sample.picture(origin, "test", 0))) as made:
            return made.size

    assert shown(8, 8) == (64, 64) and shown(5, 9) == (117, 65) and shown(60_000, 1) == (1, 60_000)
