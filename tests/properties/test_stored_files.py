"""Stored files that are damaged, swapped, copied over or gone: readers give the right values or name the file."""

from __future__ import annotations

import itertools
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from outfield import checksums
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.store import query
from outfield.store.index import Index
from outfield.store.write import DamagedFileWarning
from outfield.studies.completion_record import RECORD, Seen
from outfield.studies.recipes import TrainedRecipe, recipes
from outfield.studies.run import run
from outfield.studies.sets import Sets, load
from outfield.studies.spec import Spec
from outfield.trajectory import EvalSet, Run, Tracker
from tests.properties.support import attacked
from tests.support import rows_of, small_study

SPEC = Spec.parse(small_study(detectors=["msp", "mds"], shifts=[]))
TICKS = itertools.count(1)


@dataclass(repr=False)
class World:
    """A finished study, a tracked run beside it, the bytes of their files, and what readers say while all is well."""

    folder: Path
    place: Path
    sets: Sets
    tracker: Tracker
    right: dict[str, Any]
    files: dict[str, bytes]

    @classmethod
    def made_in(cls, place: Path) -> World:
        run(SPEC, place / "results", cache=Cache(place / "cache")).check()
        sets = load(SPEC)
        tracker = Tracker(Run("t", "net"), [EvalSet("test", 40, "id")], place / "tracked")
        for step in (0, 1):
            tracker.log(step, set="test", correct=np.arange(40) % (step + 2) == 0)
        torch.save({"weights": torch.arange(50.0), "step": 3}, place / "run.ckpt")
        files = {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
        made = cls(place / "results", place, sets, tracker, {}, files)
        made.right = {name: made.read(name) for name in files}
        return made

    def write(self, name: str, content: bytes | None) -> None:
        """A file of this content, or none, with a time that no file had before."""
        path = self.place / name
        if content is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        for touched in (path, path.parent):
            os.utime(touched, ns=(now := path.stat().st_mtime_ns + next(TICKS) * 1_000_000, now))

    def read(self, name: str) -> Any:
        """What a reader of this file gets."""
        path = self.place / name
        kind = next(kind for kind in READERS if name.startswith(kind))
        return READERS[kind](self, path)

    def recipe(self, name: str) -> TrainedRecipe:
        found = next(recipe for recipe in recipes(SPEC, self.sets) if recipe.name == name)
        assert isinstance(found, TrainedRecipe)
        return found

    def restore(self, *names: str) -> None:
        for path in [path for path in self.place.rglob("*") if path.is_file()]:
            if str(path.relative_to(self.place)) not in self.files:
                path.unlink()
        for name in {*names, *(name for name in self.files if not (self.place / name).is_file())}:
            self.write(name, self.files[name])


def scores(world: World, path: Path) -> pl.DataFrame:
    table = query.scores(world.folder, path.parent.name, path.stem)
    return table.sort(table.columns)


def weights(world: World, path: Path) -> Any:
    network = world.recipe(path.name.partition(".")[0])._kept(world.sets, world.folder / "models")
    return None if network is None else {name: w.tolist() for name, w in network.state_dict().items()}


def recognised(world: World, path: Path) -> Any:
    found = Seen.of(SPEC).finished(world.folder)
    return None if found is None else (found.keys, found.skipped)


def entry(world: World, path: Path) -> Any:
    found = Cache(world.place / "cache").get(path.relative_to(world.place).parts[1])
    return None if found is None else {name: array.tolist() for name, array in found.items()}


def items(world: World, path: Path) -> Any:
    step = next(step for step in (0, 1) if world.tracker.key(step) == path.stem)
    return world.tracker.items(step)["merit"].to_list()


def measured(world: World, path: Path) -> list[bool]:
    world.tracker._whole.clear()
    return [world.tracker.done(step) for step in (0, 1)]


def checkpoint(world: World, path: Path) -> Any:
    checksums.check_archive(path)
    return torch.load(path)["weights"].tolist()


READERS: dict[str, Callable[[World, Path], Any]] = {
    "results/rows": lambda world, path: rows_of(world.folder),
    "results/study.json": lambda world, path: rows_of(world.folder),
    "results/scores": scores,
    "results/models": weights,
    "results/finished.json": recognised,
    "cache": entry,
    "tracked/items": items,
    "tracked/rows": measured,
    "run.ckpt": checkpoint,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.made_in(tmp_path_factory.mktemp("stored"))


@pytest.fixture(scope="module")
def index(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    made = Index(world.folder, tmp_path_factory.mktemp("index"))
    made.renew()
    yield made
    made.close()


def damaged(content: bytes, how: str, at: float, size: int) -> bytes:
    """Content with a part of it spoilt."""
    start = min(int(at * len(content)), len(content) - 1)
    spoilt = bytearray(content)
    if how == "flip":
        spoilt[start] ^= 1 << size % 8
    elif how == "zero":
        spoilt[start : start + size] = bytes(len(spoilt[start : start + size]))
    elif how == "truncate":
        del spoilt[start:]
    elif how == "append":
        spoilt += content[:size]
    else:
        spoilt[start : start + size] = spoilt[start : start + size][::-1]
    return bytes(spoilt)


def is_right_or_told(world: World, name: str) -> None:
    """A reader gives what it gave before, or less with a warning, or an error that names the file."""
    expected, error = world.right[name], ""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            found = world.read(name)
        except (UserError, checksums.Broken, FileNotFoundError) as raised:
            error = f"{raised} run.ckpt" if isinstance(raised, checksums.Broken) else str(raised)
    told = " ".join(str(one.message) for one in heard)
    if error:
        assert Path(name).name in error
    elif isinstance(expected, pl.DataFrame) and not found.equals(expected):
        assert Path(name).name in told or "have no rows" in told
        assert found.height < expected.height
        assert found.join(expected, on=found.columns, nulls_equal=True, how="anti").is_empty()
    elif not isinstance(expected, pl.DataFrame) and found != expected:
        assert found is None or name.startswith("tracked/rows"), "a wrong value"
        assert told or name.endswith(RECORD) or not (world.place / name).exists() or name.startswith("tracked/rows")


HOW = ["flip", "flip", "zero", "truncate", "append", "reverse", "copy", "copy", "delete", "duplicate"]


WHICH = st.integers(0, 10_000)


@attacked
@given(damage=st.tuples(WHICH, WHICH, st.sampled_from(HOW), st.floats(0, 1), st.integers(1, 600)))
def test_a_reader_gives_the_right_values_or_names_the_file(
    world: World, index: Index, damage: tuple[int, int, str, float, int]
) -> None:
    which, other, how, at, size = damage
    names = sorted(world.files)
    name = names[which % len(names)]
    alike = [one for one in names if Path(one).suffix == Path(name).suffix]
    try:
        if how == "duplicate":
            world.write(f"{Path(name).parent}/0{Path(name).name}", world.files[name])
        elif how == "copy":
            world.write(name, world.files[alike[other % len(alike)]])
        else:
            world.write(name, None if how == "delete" else damaged(world.files[name], how, at, size))
        is_right_or_told(world, name)
        if name.startswith("results/rows/"):
            agrees(index, world, name)
    finally:
        world.restore(name)


def agrees(index: Index, world: World, name: str) -> None:
    """The dashboard's rows are those of the files that are as they were, and it names the others."""
    index.renew()
    spoilt = (world.place / name).is_file() and (world.place / name).read_bytes() != world.files[name]
    assert index.damaged() == ((Path(name).name,) if spoilt else ())
    whole = not spoilt and (world.place / name).is_file()
    right = world.right[name]
    kept = index.ask("SELECT count(*) FROM rows").item()
    assert kept == right.height if whole else kept < right.height


def test_a_run_makes_again_what_is_damaged_and_nothing_else(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.place, tmp_path, dirs_exist_ok=True)
    results = tmp_path / "results"
    first, second, third, *_ = sorted((results / "rows").iterdir())
    first.write_bytes(second.read_bytes())
    third.write_bytes(damaged(third.read_bytes(), "flip", 0.3, 1))
    (results / "study.json").write_bytes(damaged((results / "study.json").read_bytes(), "flip", 0.5, 0))
    one, two = sorted((results / "models").glob("*.safetensors"))
    content = one.read_bytes(), two.read_bytes()
    one.write_bytes(content[1])
    two.write_bytes(content[0])
    keys = [path.name for path in (tmp_path / "cache").iterdir() if (path / "header.json").is_file()]
    a, b = keys[:2]
    (tmp_path / "cache" / a).rename(tmp_path / "cache" / "x")
    (tmp_path / "cache" / b).rename(tmp_path / "cache" / a)
    (tmp_path / "cache" / "x").rename(tmp_path / "cache" / b)
    spoilt = next(path for path in (results / "scores").rglob("*.parquet") if path.stem not in (first.stem, third.stem))
    spoilt.write_bytes(damaged(spoilt.read_bytes(), "zero", 0.1, 90))
    with pytest.warns(Warning, match="damaged") as heard:
        outcome = run(SPEC, results, sets=world.sets, cache=Cache(tmp_path / "cache")).check()
    told = " ".join(str(one.message) for one in heard)
    assert all(path.name in told for path in (first, third, spoilt)) and any(one.name in told for one in (one, two))
    assert outcome.jobs == len({first.stem, third.stem, spoilt.stem})
    assert rows_of(results).equals(rows_of(world.folder))
    assert any(one.category is DamagedFileWarning for one in heard)
    assert {path.name: path.read_bytes() for path in (results / "scores").glob("*/*.parquet")} == {
        path.name: path.read_bytes() for path in (world.folder / "scores").glob("*/*.parquet")
    }
