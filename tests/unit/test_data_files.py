"""Pictures in files: every mode that Pillow knows, broken ones, odd folders, real archives."""

from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from outfield.data import datasets, views
from outfield.data.sources._decoding import Decoding
from outfield.data.sources.arrays import Arrays
from outfield.data.sources.folder import Folder
from outfield.data.sources.imglist import Imglist
from outfield.data.sources.zip import Zip
from outfield.errors import UserError

DATA = Path(os.environ.get("OUTFIELD_DATA", Path(__file__).parents[3] / "shared" / "data")) / "vision"
real = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data sets are not at {DATA} (set OUTFIELD_DATA)")


def saved(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def read_one(path: Path, **decoding: int) -> np.ndarray:
    return Decoding(**decoding)(path.read_bytes())


def test_modes_become_grey_or_colour(tmp_path: Path) -> None:
    palette = Image.new("RGB", (2, 2), (10, 20, 30)).quantize(4)
    expected = {
        "grey": (Image.new("L", (2, 2), 100), [100]),
        "bits": (Image.new("1", (2, 2), 1), [255]),
        "colour": (Image.new("RGB", (2, 2), (10, 20, 30)), [10, 20, 30]),
        "rgba": (Image.new("RGBA", (2, 2), (10, 20, 30, 128)), [10, 20, 30]),
        "grey_alpha": (Image.new("LA", (2, 2), (100, 7)), [100]),
        "palette": (palette, [10, 20, 30]),
        "deep": (Image.fromarray(np.full((2, 2), 257 * 100, np.uint16)), [100]),
    }
    for name, (image, pixel) in expected.items():
        picture = read_one(saved(image, tmp_path / f"{name}.png"))
        assert picture.dtype == np.uint8 and picture.shape == (2, 2, len(pixel)), name
        assert picture[1, 1].tolist() == pixel, name


def test_floats_and_cmyk(tmp_path: Path) -> None:
    deep = saved(Image.fromarray(np.full((2, 2), 0.5, np.float32)), tmp_path / "f.tiff")
    assert read_one(deep)[0, 0].tolist() == [128]
    assert read_one(saved(Image.new("CMYK", (2, 2)), tmp_path / "c.tiff")).shape == (2, 2, 3)
    wild = saved(Image.fromarray(np.full((2, 2), 7.5, np.float32)), tmp_path / "wild" / "w.tiff")
    with pytest.raises(UserError, match=r"values between 7.5 and 7.5, expected 0 to 1"):
        Folder(str(wild.parent)).load().read(slice(None))


def test_channels_and_side(tmp_path: Path) -> None:
    path = saved(Image.new("RGB", (40, 20), (255, 0, 0)), tmp_path / "red.png")
    assert read_one(path, channels=1)[0, 0].tolist() == [76]
    assert read_one(path, channels=3, side=8).shape == (8, 8, 3)
    assert read_one(saved(Image.new("L", (1, 1), 9), tmp_path / "dot.png"), side=8).tolist() == [[[9]] * 8] * 8
    assert read_one(saved(Image.new("L", (1, 90), 9), tmp_path / "line.png"), side=4, channels=3).shape == (4, 4, 3)


def test_the_centre_is_cut_out(tmp_path: Path) -> None:
    strip = np.zeros((4, 12), np.uint8)
    strip[:, 4:8] = 200
    path = saved(Image.fromarray(strip), tmp_path / "strip.png")
    assert read_one(path, side=4).squeeze().tolist() == [[200] * 4] * 4


def broken_folder(root: Path) -> Path:
    for i in range(4):
        saved(Image.new("L", (9, 9), i), root / "a" / f"{i}.png")
    (root / "a" / "text.png").write_text("no picture")
    whole = (root / "a" / "0.png").read_bytes()
    (root / "a" / "half.png").write_bytes(whole[: len(whole) // 2])
    (root / "a" / "empty.jpg").write_bytes(b"")
    return root


def test_broken_pictures_are_listed_and_counted(tmp_path: Path) -> None:
    data = Folder(str(broken_folder(tmp_path))).load()
    with pytest.raises(UserError) as caught:
        data.read(slice(None))
    message = str(caught.value)
    assert "3 of 7 cannot" in message and "leave out" in message
    assert all(f"{name}: " in message for name in ("text.png", "half.png", "empty.jpg"))


def test_broken_pictures_are_left_out_by_name(tmp_path: Path) -> None:
    data = Folder(str(broken_folder(tmp_path)), broken="leave out").load()
    assert len(data) == 4 and data.read(slice(None)).shape == (4, 9, 9, 1)
    left_out = datasets.left_out_of(data)
    assert sorted(Path(text.split(": ")[0]).name for text in left_out) == ["empty.jpg", "half.png", "text.png"]
    assert datasets.left_out_of(views.subset(data, [0])) == left_out


def test_a_long_list_of_broken_pictures_is_cut(tmp_path: Path) -> None:
    for i in range(50):
        (tmp_path / f"{i}.png").write_text("no picture")
    with pytest.raises(UserError, match="50 of 50 cannot") as caught:
        Folder(str(tmp_path), broken="leave out").load()
    assert "and 30 more" in str(caught.value) and str(caught.value).count("identify") == 20


def test_odd_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a folder at .*nowhere"):
        Folder(str(tmp_path / "nowhere")).load()
    with pytest.raises(UserError, match="found none"):
        Folder(str(tmp_path)).load()
    saved(Image.new("L", (2, 2)), tmp_path / "cat" / "deep" / "one.png")
    (tmp_path / "cat" / "notes.txt").write_text("passed over")
    (tmp_path / ".hidden").mkdir()
    saved(Image.new("L", (2, 2)), tmp_path / "cat" / "._two.png")
    assert len(Folder(str(tmp_path)).load()) == 1
    (tmp_path / "dog").mkdir()
    with pytest.raises(UserError, match=r"every class .* found none of dog"):
        Folder(str(tmp_path)).load()
    assert Folder(str(tmp_path), classes=("cat",)).load().classes == ("cat",)
    saved(Image.new("L", (2, 2)), tmp_path / "loose.png")
    with pytest.raises(UserError, match=r"'loose.png' lies outside"):
        Folder(str(tmp_path), classes=("cat",)).load()


def test_classes_set_the_order_of_labels(tmp_path: Path) -> None:
    for i, name in enumerate("abc"):
        saved(Image.new("L", (2, 2), i), tmp_path / name / "x.png")
    data = Folder(str(tmp_path), classes=("c", "a")).load()
    assert data.labels.tolist() == [1, 0] and data.read(slice(None))[:, 0, 0, 0].tolist() == [0, 2]


def test_wrong_settings(tmp_path: Path) -> None:
    saved(Image.new("L", (2, 2)), tmp_path / "one.png")
    with pytest.raises(UserError, match="channels 1, 3 or none"):
        Folder(str(tmp_path), channels=2).load()
    with pytest.raises(UserError, match="'refuse' or 'leave out'"):
        Folder(str(tmp_path), broken="skip").load()
    with pytest.raises(UserError, match="it has none"):
        Folder(str(tmp_path), classes=("cat",)).load()


def test_a_changed_file_and_a_changed_decoding_change_the_key(tmp_path: Path) -> None:
    saved(Image.new("L", (4, 4), 1), tmp_path / "one.png")
    before = Folder(str(tmp_path)).load().digest()
    assert Folder(str(tmp_path), side=2).load().digest() != before
    saved(Image.new("L", (4, 4), 2), tmp_path / "one.png")
    assert Folder(str(tmp_path)).load().digest() != before


def test_a_file_that_goes_away_is_told_by_name(tmp_path: Path) -> None:
    path = saved(Image.new("L", (4, 4), 1), tmp_path / "one.png")
    data = Folder(str(tmp_path)).load()
    path.unlink()
    with pytest.raises(UserError, match=r"one.png: No such file"):
        data.read(slice(None))


def zipped(tmp_path: Path) -> Path:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_STORED) as archive:
        for i in range(40):
            path = saved(Image.new("L", (4, 4), i), tmp_path / "one.png")
            archive.write(path, f"top/{'ab'[i % 2]}/{i:02}.png")
    return tmp_path / "set.zip"


def test_a_zip_is_read_below_a_folder_and_from_other_processes(tmp_path: Path) -> None:
    data = Zip(str(zipped(tmp_path)), under="top").load()
    assert data.classes == ("a", "b") and data.read(slice(None))[:, 0, 0, 0].tolist() == [
        *range(0, 40, 2),
        *range(1, 40, 2),
    ]
    again = pickle.loads(pickle.dumps(data))
    assert again.digest() == data.digest()


def test_faults_of_zips(tmp_path: Path) -> None:
    path = zipped(tmp_path)
    with pytest.raises(UserError, match="under nothing/"):
        Zip(str(path), under="nothing").load()
    content = bytearray(path.read_bytes())
    content[60] ^= 255
    (tmp_path / "flipped.zip").write_bytes(content)
    with pytest.raises(UserError, match="1 of 40 cannot"):
        Zip(str(tmp_path / "flipped.zip"), under="top").load().read(slice(None))
    (tmp_path / "half.zip").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="a zip archive"):
        Zip(str(tmp_path / "half.zip")).load()
    with pytest.raises(UserError, match="a file at"):
        Zip(str(tmp_path / "none.zip")).load()


def test_lists_of_openood(tmp_path: Path) -> None:
    saved(Image.new("L", (2, 2)), tmp_path / "x" / "with space.png")
    listed = tmp_path / "list.txt"
    listed.write_text("x/with space.png -1\n\n")
    assert Imglist(str(listed), str(tmp_path)).load().labels is None
    listed.write_text("x/with space.png -1\nx/none.png 4\n")
    with pytest.raises(UserError, match=r"1 of 2 cannot:\n  .*none.png: is not there"):
        Imglist(str(listed), str(tmp_path)).load()
    assert len(Imglist(str(listed), str(tmp_path), broken="leave out").load()) == 1
    listed.write_text("x/none.png\n")
    with pytest.raises(UserError, match="on line 1"):
        Imglist(str(listed), str(tmp_path)).load()
    listed.write_text("\n")
    with pytest.raises(UserError, match="it is empty"):
        Imglist(str(listed), str(tmp_path)).load()


def test_arrays_are_mapped_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "items.npy", np.arange(48, dtype=np.uint8).reshape(3, 4, 4))
    np.save(tmp_path / "labels.npy", [2, 0, 1])
    data = Arrays(str(tmp_path / "items.npy"), labels=str(tmp_path / "labels.npy")).load()
    assert isinstance(data.items, np.memmap) and data.labels.tolist() == [2, 0, 1]
    assert data.read(np.array([1])).ravel()[0] == 16


def test_faults_of_array_files(tmp_path: Path) -> None:
    images = np.zeros((2, 4, 4), np.uint8)
    np.savez(tmp_path / "set.npz", a=images, b=images, labels=[0, 1, 1])
    np.save(tmp_path / "objects.npy", np.array([{}, None]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "half.npz").write_bytes((tmp_path / "set.npz").read_bytes()[:200])
    cases = {
        "set.npz": "Name the items with `items`",
        "objects.npy": "pickled objects, which are never loaded",
        "text.npy": "Expected arrays of numbers",
        "half.npz": "cannot be read",
        "none.npy": "there is none",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message):
            Arrays(str(tmp_path / name)).load()
    with pytest.raises(UserError, match="2 labels"):
        Arrays(str(tmp_path / "set.npz"), items="a", labels="labels").load()
    with pytest.raises(UserError, match="labels 'targets'"):
        Arrays(str(tmp_path / "set.npz"), items="a", labels="targets").load()


@real
def test_real_archives() -> None:
    cifar = Zip(str(DATA / "cifar10_test.zip")).load()
    assert len(cifar) == 10_000 and np.bincount(cifar.labels).tolist() == [1000] * 10
    assert cifar.classes[:2] == ("airplane", "automobile")
    assert cifar.read(slice(0, 3)).shape == (3, 32, 32, 3)
    grey = Zip(str(DATA / "cifar10_test.zip"), channels=1, side=28).load()
    assert grey.read(slice(0, 3)).shape == (3, 28, 28, 1)
    tiny = Zip(str(DATA / "tiny_imagenet_openood.zip")).load()
    assert len(tiny) == 7793 and tiny.labels is None
    assert {picture.shape[2] for picture in tiny.read(np.arange(0, 1200))} == {1, 3}
    kmnist = Arrays(str(DATA / "kmnist_test.npz"), labels="labels").load()
    assert kmnist.read(slice(0, 1)).shape == (1, 28, 28, 1) and len(kmnist) == 10_000
