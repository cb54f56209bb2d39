"""Our own sources keep their contract."""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from outfield import registry
from outfield.data.base import Source
from outfield.errors import UserError
from outfield.studies.spec import Plugin
from outfield.testing._expect import written
from outfield.testing.sources import CHECKS

NAMES = tuple(name for name in registry.own("sources") if name != "hub")


def png(path: Path, shade: int, mode: str = "L", size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, shade if mode == "L" else (shade,) * len(mode)).save(path)


def folder(root: Path) -> dict[str, Any]:
    for i in range(6):
        png(root / "pictures" / ("cat", "dog")[i % 2] / f"{i}.png", 40 * i)
    return {"path": str(root / "pictures")}


def archive(root: Path) -> dict[str, Any]:
    pictures = Path(folder(root)["path"])
    with zipfile.ZipFile(root / "set.zip", "w") as file:
        for path in sorted(pictures.rglob("*.png")):
            file.write(path, path.relative_to(pictures).as_posix())
    return {"path": str(root / "set.zip")}


def ninco(root: Path) -> dict[str, Any]:
    for i in range(6):
        png(root / "NINCO_OOD_classes" / ("s_sky", "waffles")[i % 2] / f"{i}.png", 40 * i)
    return {"path": str(root)}


def wilds(root: Path) -> dict[str, Any]:
    (root / "metadata.csv").write_text(
        "img_id,img_filename,y,split,place\n" + "".join(f"{i},bird {i}.png,{i % 2},0,{i % 3 % 2}\n" for i in range(6))
    )
    for i in range(6):
        png(root / f"bird {i}.png", 40 * i)
    return {"path": str(root)}


def imglist(root: Path) -> dict[str, Any]:
    pictures = Path(folder(root)["path"])
    names = sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))
    (root / "test.txt").write_text("".join(f"{name} {int(name.startswith('dog'))}\n" for name in names))
    return {"path": str(root / "test.txt"), "root": str(pictures)}


def arrays(root: Path) -> dict[str, Any]:
    pictures = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4)
    np.savez(root / "set.npz", images=pictures, labels=[0, 1, 0, 1, 0, 1])
    return {"path": str(root / "set.npz"), "labels": "labels", "classes": ["cat", "dog"]}


def text(root: Path) -> dict[str, Any]:
    (root / "set.csv").write_text("text,mood\nfine,good\nbad,ill\nwell,good\n")
    return {"path": str(root / "set.csv"), "label": "mood"}


def nli(root: Path) -> dict[str, Any]:
    rows = "".join(f"It rains.\tIt is {state}.\t{label}\n" for label, state in enumerate(("wet", "Monday", "dry")))
    (root / "set.tsv").write_text(f"premise\thypothesis\tlabel\n{rows}")
    return {"format": "snli", "path": str(root / "set.tsv")}


def table(root: Path) -> dict[str, Any]:
    (root / "set.csv").write_text("a,b,kind\n1,2,x\n3,4,y\n5,6,x\n")
    return {"path": str(root / "set.csv"), "label": "kind", "columns": ["b", "a"]}


def shards(root: Path) -> dict[str, Any]:
    pictures = Path(folder(root)["path"])
    with tarfile.open(root / "set-0.tar", "w") as shard:
        for path in sorted(pictures.rglob("*.png")):
            shard.add(path, path.name)
    return {"path": str(root / "set-*.tar")}


def targets(root: Path) -> dict[str, Any]:
    (root / "set.csv").write_text("a,b,site\n1,2.5,x\n3,4,y\n5,6,x\n")
    return {"path": str(root / "set.csv"), "target": "b", "group": "site"}


MADE: dict[str, Callable[[Path], dict[str, Any]]] = {
    "digits": lambda root: {"classes": [8, 9], "part": "test"},
    "diabetes": lambda root: {"part": "val", "ages": [20, 60]},
    "photos": lambda root: {"photo": "flower", "n": 6},
    "glyphs": lambda root: {"kind": "symbols", "n": 6},
    "terrain": lambda root: {"n": 6},
    "synthetic": lambda root: {"names": ["blobs", "grey"], "each": 3, "side": 8},
    "arrays": arrays,
    "folder": folder,
    "zip": archive,
    "imglist": imglist,
    "ninco": ninco,
    "wilds": wilds,
    "coloured_digits": lambda root: {"agreement": [0.9, 0.1], "noise": 0.1},
    "in_domains": lambda root: {"of": {"name": "domains", "split": "all"}, "domains": ["site 4"], "stop": 0.5},
    "domains": lambda root: {"kind": "spurious", "split": "val"},
    "text": text,
    "nli": nli,
    "table": table,
    "webdataset": shards,
    "part": lambda root: {"of": {"name": "digits"}, "stop": 0.5, "limit": 40},
    "word_salad": lambda root: {"of": {"name": "text", **text(root)}, "words": "any"},
    "scenes": lambda root: {"classes": ["red circle", "checked star"], "n": 6, "size": [0.4, 0.5]},
    "class_split": lambda root: {"of": {"name": "digits"}, "kind": "random", "count": 2},
    "shifted": lambda root: {"of": {"name": "digits", "part": "test"}, "shift": "rotation", "severity": 2},
}
"""Parameters as a study file writes them, for every source that can be made without a network."""


@pytest.fixture(params=[*NAMES, "table of targets"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    make = {**MADE, "table of targets": targets}[request.param]
    params = json.loads(json.dumps(make(tmp_path)))
    made = Plugin(name=request.param.split(" ")[0], **params).build("sources")
    assert isinstance(made, Source)
    return made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(source: Source, check: Callable[[Source], None]) -> None:
    check(source)


def test_a_wrong_field_is_a_users_mistake(source: Source) -> None:
    with pytest.raises(UserError, match="has no parameter 'sied'"):
        registry.create("sources", registry.name_of("sources", source), sied=3)


def test_every_source_that_needs_no_network_is_covered() -> None:
    assert set(NAMES) == set(MADE)


def test_the_hub_round_trips_too() -> None:
    made = Plugin(name="hub", repo="owner/name", inputs=["text"], label="label").build("sources")
    assert Plugin(**json.loads(json.dumps(written("sources", made)))).build("sources") == made


def test_pictures_in_a_folder_a_zip_and_a_list_are_the_same_data(tmp_path: Path) -> None:
    made = [
        Plugin(name=name, **MADE[name](tmp_path / name)).build("sources")
        for name in ("folder", "zip", "imglist")
        if (tmp_path / name).mkdir() is None
    ]
    keys = {source.load().digest() for source in made}
    assert len(keys) == 1
    first = made[0].load()
    assert first.classes == ("cat", "dog") and first.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_bytes_of_a_picture(tmp_path: Path) -> None:
    buffer = BytesIO()
    Image.new("RGB", (3, 2), (9, 8, 7)).save(buffer, "PNG")
    (tmp_path / "one.png").write_bytes(buffer.getvalue())
    data = registry.create("sources", "folder", path=str(tmp_path)).load()
    assert data.labels is None and data.read(slice(None))[0, 0, 0].tolist() == [9, 8, 7]
