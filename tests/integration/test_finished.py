"""A finished study is recognised by looking at its files, and never when one of them was touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from outfield import registry
from outfield.data.base import Source
from outfield.errors import UserError
from outfield.features.cache import Cache
from outfield.store import query
from outfield.store.write import DamagedFileWarning
from outfield.studies import completion_record, stamp
from outfield.studies.completion_record import RECORD, Seen
from outfield.studies.executors.base import Event
from outfield.studies.outcome import Outcome
from outfield.studies.run import run
from outfield.studies.spec import Spec
from tests.support import small_study


class World:
    """A study whose data lie in files: an array, a folder of pictures, a folder that is not there, and weights."""

    def __init__(self, place: Path) -> None:
        self.study, self.results, self.place = place / "study.yaml", place / "results", place

    @classmethod
    def made_in(cls, place: Path) -> World:
        world = cls(place)
        np.save(place / "set.npy", np.random.default_rng(0).integers(0, 256, (9, 8, 8), dtype=np.uint8))
        (place / "pictures").mkdir()
        for i in range(3):
            Image.new("L", (8, 8), 40 * i).save(place / "pictures" / f"{i}.png")
        network = registry.create("networks", "small_cnn", width=2, classes=4)
        save_file(network.state_dict(), place / "net.safetensors")
        stored = {"weights": "net.safetensors", "network": {"name": "small_cnn", "width": 2, "classes": 4}}
        sources = {"array": {"name": "arrays", "path": "set.npy"}, "folder": {"name": "folder", "path": "pictures"}}
        sources["absent"] = {"name": "folder", "path": "later"}
        world.write(
            ood=[{"name": name, "category": "far", "source": source} for name, source in sources.items()],
            models=[{"label": "stored", **stored}, {"strategy": "baseline", "seeds": [0]}],
            shifts=[],
            detectors=["msp", "knn"],
        )
        return world

    def write(self, **changes: object) -> None:
        self.study.write_text(yaml.safe_dump(small_study(**changes)))

    def run(self) -> Outcome:
        return run(self.study, self.results, cache=Cache(self.place / "cache")).check()

    def known(self) -> bool:
        return Seen.of(self.study).finished(self.results) is not None

    def rows(self) -> Path:
        return self.results / "rows" / f"{query.manifest(self.results)['jobs'][0]}.parquet"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    world = World.made_in(tmp_path_factory.mktemp("finished"))
    world.run()
    return world


@pytest.fixture
def world(made: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A copy of the finished world that is recognised."""
    monkeypatch.setattr(stamp, "SETTLED", 0.0)
    copy = World(tmp_path / "world")
    shutil.copytree(made.place, copy.place)
    assert copy.run().jobs == 0
    assert copy.known()
    return copy


def quietly(path: Path, content: bytes) -> None:
    """Write a file and give it its earlier times back."""
    before = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def flipped(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


TOUCHED: dict[str, Callable[[World], object]] = {
    "an array": lambda w: (w.place / "set.npy").touch(),
    "weights": lambda w: (w.place / "net.safetensors").touch(),
    "a picture": lambda w: (w.place / "pictures" / "1.png").touch(),
    "a picture, quietly": lambda w: quietly(w.place / "pictures/1.png", (w.place / "pictures/1.png").read_bytes()),
    "the list of jobs": lambda w: (w.results / "study.json").touch(),
    "a file of rows": lambda w: w.rows().touch(),
    "a file of rows, quietly": lambda w: quietly(w.rows(), w.rows().read_bytes()),
    "a comment in the study": lambda w: w.study.write_text(w.study.read_text() + "# a comment\n"),
    "the record": lambda w: (w.results / RECORD).write_text("{"),
    "no record": lambda w: (w.results / RECORD).unlink(),
}


@pytest.mark.parametrize("what", TOUCHED)
def test_what_was_touched_is_compared_by_content_and_costs_no_job(world: World, what: str) -> None:
    TOUCHED[what](world)
    assert not world.known()
    outcome = world.run()
    assert (outcome.jobs, outcome.forwards, outcome.skipped) == (0, 0, 6)
    assert world.known(), "compared once, it is known again"


CHANGED: dict[str, tuple[Callable[[World], object], int]] = {
    "an array, its time kept": (lambda w: quietly(w.place / "set.npy", flipped(w.place / "set.npy")), 6),
    "another picture": (lambda w: Image.new("L", (8, 8), 200).save(w.place / "pictures" / "9.png"), 6),
    "a picture less": (lambda w: (w.place / "pictures" / "0.png").unlink(), 6),
    "the set that was not there": (
        lambda w: ((w.place / "later").mkdir(), Image.new("L", (8, 8), 120).save(w.place / "later" / "0.png")),
        6,
    ),
    "rows that are gone": (lambda w: w.rows().unlink(), 1),
}


@pytest.mark.parametrize("what", CHANGED)
def test_what_was_changed_is_done_again(world: World, what: str) -> None:
    change, jobs = CHANGED[what]
    change(world)
    assert not world.known()
    assert world.run().jobs == jobs


@pytest.mark.parametrize(
    "damage", [lambda path: path.read_bytes()[:-9], lambda path: b"PAR1" + bytes(path.stat().st_size - 4)]
)
def test_damaged_rows_are_found_though_their_time_is_kept(world: World, damage: Callable[[Path], bytes]) -> None:
    quietly(world.rows(), damage(world.rows()))
    assert not world.known()
    with pytest.warns(DamagedFileWarning, match="its job is done again"):
        assert world.run().jobs == 1


def test_a_copy_of_the_results_is_compared_once(world: World, tmp_path: Path) -> None:
    shutil.copytree(world.results, tmp_path / "copy")
    assert Seen.of(world.study).finished(tmp_path / "copy") is None


@pytest.mark.parametrize("what", ["code", "package", "reinstalled"])
def test_other_code_and_other_packages_are_noticed(
    world: World, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, packages = tmp_path / "code", tmp_path / "packages"
    code.mkdir()
    (packages / "torch-2.0.dist-info").mkdir(parents=True)
    (code / "msp.py").write_text("x = 1")
    monkeypatch.setattr(completion_record, "_PACKAGE", code)
    monkeypatch.syspath_prepend(packages)
    world.run()
    assert world.known()
    if what == "code":
        (code / "msp.py").write_text("x = 2")
    elif what == "package":
        (packages / "torch-2.0.dist-info").rename(packages / "torch-2.1.dist-info")
    else:
        os.utime(packages / "torch-2.0.dist-info")
    assert not world.known()


def test_what_a_package_carries_within_itself_is_not_looked_at(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Setuptools puts its own copies of packages on the path when it is imported."""
    carried = tmp_path / "package" / "_vendor"
    (carried / "torch-2.0.dist-info").mkdir(parents=True)
    (tmp_path / "package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(carried)
    assert world.known()


def test_files_that_were_touched_while_the_study_ran_leave_no_record(world: World) -> None:
    spec, outcome = Spec.load(world.study), world.run()
    before = Seen.of(world.study).watching(spec)
    time.sleep(0.05)
    (world.place / "set.npy").touch()
    (world.results / RECORD).unlink()
    before.keep(outcome, spec, frozenset())
    assert not (world.results / RECORD).exists()
    time.sleep(0.05)
    Seen.of(world.study).keep(outcome, spec, frozenset())
    assert not world.known(), "nobody looked at the files before"
    Seen.of(world.study).watching(spec).keep(outcome, spec, frozenset())
    assert world.known()


@pytest.mark.parametrize("lost", ["pictures/1.png", "pictures", "set.npy"])
def test_files_that_were_removed_while_the_study_ran_leave_no_record(
    tmp_path: Path, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(event: Event) -> None:
        if event.stage == "scoring" and (path := tmp_path / lost).exists():
            path.rename(tmp_path / "elsewhere")

    monkeypatch.setattr(stamp, "SETTLED", 0.0)
    world = World.made_in(tmp_path)
    run(world.study, world.results, cache=Cache(tmp_path / "cache"), notify=remove)
    assert (tmp_path / "elsewhere").exists()
    assert not (world.results / RECORD).exists()
    assert world.run().jobs == 6, "what is measured now is less"
    assert world.known()


def test_a_shard_that_a_pattern_matches_later_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shard(number: int) -> None:
        picture = tmp_path / f"{number}.png"
        Image.fromarray(np.full((8, 8), number, dtype=np.uint8)).save(picture)
        with tarfile.open(tmp_path / f"set-{number}.tar", "w") as archive:
            archive.add(picture, picture.name)

    monkeypatch.setattr(stamp, "SETTLED", 0.0)
    world = World.made_in(tmp_path)
    source = {"name": "webdataset", "path": "set-*.tar"}
    world.write(ood=[{"name": "far", "category": "far", "source": source}], shifts=[], detectors=["msp"])
    shard(0)
    world.run()
    assert world.known()
    (tmp_path / "beside.txt").touch()
    assert world.known()
    shard(1)
    assert not world.known()
    rows = query.rows(world.run().folder, "metric = 'auroc'")
    assert set(rows["n_ood"]) == {2}
    (tmp_path / "set-0.tar").unlink()
    assert not world.known()


def test_a_finished_study_says_so_at_once_without_torch(world: World) -> None:
    program = (
        "import sys; from outfield.studies import stamp; stamp.SETTLED = 0.0; "
        "from outfield.studies.run import run; "
        f"outcome = run({str(world.study)!r}, {str(world.results)!r}); "
        "print(outcome.jobs, outcome.skipped, outcome.forwards, len(outcome.missing), "
        "sorted({'torch', 'numpy', 'polars', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=4) == ["0", "6", "0", str(len(world.run().missing)), "[]\n"]


def test_the_command_says_what_is_done_and_missing(world: World) -> None:
    from outfield.cli import app

    said = CliRunner().invoke(app(), ["run", str(world.study), "--out", str(world.results)])
    assert said.exit_code == 0
    assert "Nothing to do: 6 of 6 jobs are done" in said.output
    assert "0 forward passes" in said.output


def test_a_failed_job_leaves_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("Expected a sound model, but got none. Get one.")

    spec = Spec.parse(small_study(detectors=["msp"]))
    with monkeypatch.context() as patch:
        patch.setattr("outfield.studies.bench._fitted", refuse)
        assert run(spec, tmp_path / "results", cache=Cache(tmp_path / "cache")).failures
    assert not (tmp_path / "results" / RECORD).exists()


def test_detectors_that_a_model_does_not_serve_are_left_out_and_told_again(tmp_path: Path) -> None:
    spec = Spec.parse(small_study(layers=[], detectors=["msp", "gram", "odin"]))
    first, again = (run(spec, tmp_path / "results", cache=Cache(tmp_path / "cache")).check() for _ in range(2))
    left_out = {"baseline-0": ("gram",), "label_noise-0": ("gram",)}
    assert first.left_out == again.left_out == left_out
    assert (first.jobs, again.jobs, again.skipped, again.forwards) == (6, 0, 6, 0)
    assert (tmp_path / "results" / RECORD).exists()
    assert "baseline-0: gram left out, as before." in again.summary


def test_a_study_as_an_object_is_recognised_and_another_is_not(tmp_path: Path) -> None:
    def outcome(**changes: object) -> Outcome | None:
        return Seen.of(Spec.parse(small_study(**changes))).finished(tmp_path / "results")

    run(Spec.parse(small_study()), tmp_path / "results", cache=Cache(tmp_path / "cache")).check()
    assert (found := outcome()) is not None and (found.skipped, found.forwards) == (8, 0)
    assert outcome(resources={"processes": 2}) is not None, "what computes does not change what is computed"
    assert outcome(detectors=["msp", "mds"]) is None
    assert outcome(seed=1) is None


def test_every_source_but_the_hub_tells_its_files() -> None:
    silent = {name for name in registry.own("sources") if registry.find("sources", name).files is Source.files}
    assert silent == {"hub"}


def test_a_source_that_does_not_tell_its_files_is_always_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.find("sources", "synthetic"), "files", Source.files)
    spec = Spec.parse(small_study())
    run(spec, tmp_path / "results", cache=Cache(tmp_path / "cache")).check()
    assert not (tmp_path / "results" / RECORD).exists()
