"""Results and cache on remote storage: a server on this machine that speaks S3, and fsspec's own memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from outfield.cli import app
from outfield.errors import UserError
from outfield.features.cache import Cache, DamagedEntryWarning, default_folder
from outfield.places import place
from outfield.reports.results import Results
from outfield.store import query, write
from outfield.store.write import DamagedFileWarning
from outfield.studies.run import Outcome, run
from outfield.studies.spec import Spec
from outfield.tables import measures as tables
from tests.support import assert_close, rows_of, run_small, small_study

SECRET = {"AWS_ACCESS_KEY_ID": "one", "AWS_SECRET_ACCESS_KEY": "two", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The address of an empty bucket on a server of this machine."""
    pytest.importorskip("s3fs", reason="the extra s3 is not installed")
    server = pytest.importorskip("moto.server", reason="moto is not installed")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (SECRET | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
            patch.setenv(name, value)
        import s3fs

        s3fs.S3FileSystem.clear_instance_cache()
        s3fs.S3FileSystem().mkdir(f"results-{port}")
        yield f"s3://results-{port}"
    running.stop()


@pytest.fixture(autouse=True)
def _own_mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mirror"))


def run_remote(bucket: str, study: str = "small", **changes: Any) -> Outcome:
    return run(Spec.parse(small_study(**changes)), f"{bucket}/{study}", cache=Cache(place(f"{bucket}/cache")))


@pytest.fixture(scope="module")
def finished(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("mirror")))
        return run_remote(bucket).check()


def test_a_study_on_s3_has_the_rows_of_a_local_one(finished: Outcome, bucket: str, tmp_path: Path) -> None:
    assert rows_of(f"{bucket}/small").equals(rows_of(run_small(tmp_path).check().folder))
    assert query.progress(f"{bucket}/small") == (finished.jobs, finished.jobs)


def test_again_it_does_nothing(finished: Outcome, bucket: str) -> None:
    again = run_remote(bucket)
    assert (again.jobs, again.forwards, again.skipped) == (0, 0, finished.jobs)


def test_another_machine_needs_no_training_and_no_pass(finished: Outcome, bucket: str) -> None:
    """Its mirror of the cache is empty: entries and weights come from the bucket."""
    more = run_remote(bucket, "another", detectors=["msp", "mds", "odin", "energy"])
    assert (more.jobs, more.forwards, more.skipped) == (finished.jobs + 2, 0, 0)


def test_the_command_line_runs_resumes_and_reports(bucket: str, tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(small_study(detectors=["msp"], models=small_study()["models"][:1])))
    commands = [
        ["run", str(study), "--out", f"{bucket}/told"],
        ["run", str(study), "--out", f"{bucket}/told"],
        ["report", f"{bucket}/told"],
        ["report", f"{bucket}/told", "--model", "baseline-0"],
    ]
    said = [CliRunner().invoke(app(), command, catch_exceptions=False).output for command in commands]
    assert "2 jobs done, 0 were there already" in said[0]
    assert "0 jobs done, 2 were there already; 0 forward passes" in said[1]
    assert f"{bucket}/told/report.html" in said[2].replace("\n", "")
    assert f"{bucket}/told/card-baseline-0.html" in said[3].replace("\n", "")
    assert place(f"{bucket}/told/report.html").read_text().lstrip().startswith("<!DOCTYPE html>")


def test_a_page_is_written_to_a_bucket(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the command line takes it too: a ``Path``, which has lost a slash."""
    monkeypatch.chdir(tmp_path)
    page = f"{bucket}/pages/analysis.html"
    for given, text in ((page, "caf\u00e9\n"), (Path(page), "")):
        assert write.write_text(text, given).as_uri() == page
        assert place(page).read_bytes() == text.encode()
    assert not [*tmp_path.glob("s3*")]


def test_a_page_that_a_bucket_does_not_take_is_told(bucket: str) -> None:
    write.write_text("page", f"{bucket}/folder/page.html")
    with pytest.raises(UserError, match=f"Expected to write a file {bucket}/folder, but there is a folder"):
        write.write_text("page", f"{bucket}/folder")
    with pytest.raises(UserError, match="Expected to write s3://none-of-this-name/page.html, but .*bucket.*address"):
        write.write_text("page", "s3://none-of-this-name/page.html")


def test_a_damaged_object_is_left_out_then_done_again(finished: Outcome, bucket: str) -> None:
    run_remote(bucket, "damaged").check()
    path = place(f"{bucket}/damaged/rows") / f"{min(finished.keys)}.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.warns(DamagedFileWarning, match=path.name):
        Results.of(f"{bucket}/damaged")
    with pytest.warns(DamagedFileWarning, match="is damaged"):
        again = run_remote(bucket, "damaged")
    assert (again.jobs, again.forwards, again.skipped) == (1, 0, finished.jobs - 1)
    assert (path.parent / "damaged" / path.name).exists()


def test_two_processes_write_to_one_bucket(finished: Outcome, bucket: str) -> None:
    run_remote(bucket, "two", resources={"processes": 2}).check()
    assert rows_of(f"{bucket}/two").equals(rows_of(f"{bucket}/small"))


def test_shards_of_two_processes_meet_in_one_bucket(finished: Outcome, bucket: str) -> None:
    spec = Spec.parse(small_study(resources={"processes": 2, "shards": 3}))
    outcome = run(spec, f"{bucket}/shards", cache=Cache(place(f"{bucket}/cache of shards"))).check()
    assert outcome.forwards == finished.forwards, "each input once"
    assert_close(rows_of(outcome.folder), rows_of(f"{bucket}/small"))


@pytest.mark.parametrize("address", ["s3://absent/study", "foo://results/study"])
def test_what_cannot_be_reached_is_told(bucket: str, tmp_path: Path, address: str) -> None:
    with pytest.raises(UserError, match=f"Expected .*{address.partition(':')[0]}://"):
        run(Spec.parse(small_study()), address, cache=Cache(tmp_path))


def test_a_right_that_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials, in a process of its own: file systems are kept."""
    program = "from outfield.store import query; query.rows('s3://results/small')"
    environment = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/nonexistent",
    }
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, env=environment)
    assert "UserError: Expected to reach s3://results/small" in done.stderr


def fill(cache: Cache, key: str = "k") -> None:
    with cache.writing(key, rows=2, about="numbers") as entry:
        entry.append("x", np.array([1.0, 4.0]))


@pytest.fixture
def remote() -> Iterator[Path]:
    pytest.importorskip("upath", reason="the extra s3 is not installed")
    folder = place("memory://cache")
    yield folder
    Cache(folder).clear()


def test_a_remote_cache_fills_the_mirror_of_another_machine(
    remote: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(Cache(remote))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other machine"))
    found = Cache(remote).get("k")
    assert found is not None
    assert isinstance(found["x"], np.memmap)
    assert found["x"].tolist() == [1.0, 4.0]
    assert [(key, about) for key, about, _ in Cache(remote).entries()] == [("k", {"about": "numbers"})]


def test_a_damaged_mirror_is_fetched_again(remote: Path) -> None:
    cache = Cache(remote)
    fill(cache)
    (cache.folder / "k" / "x.npy").write_bytes(b"rot")
    with pytest.warns(DamagedEntryWarning, match="entry k is damaged"):
        found = Cache(remote).get("k")
    assert found is not None
    assert found["x"].tolist() == [1.0, 4.0]


def test_a_damaged_remote_entry_is_made_again(remote: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fill(Cache(remote))
    (remote / "k" / "x.npy").write_bytes(b"rot")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other machine"))
    with pytest.warns(DamagedEntryWarning, match="entry k is damaged"):
        assert Cache(remote).get("k") is None
    assert not (remote / "k" / "header.json").exists()
    fill(Cache(remote))
    assert Cache(remote).get("k") is not None


def test_an_entry_whose_header_has_not_come_yet_is_absent(remote: Path) -> None:
    (remote / "k" / "x.npy").write_bytes(b"half")
    assert Cache(remote).get("k") is None


def test_clearing_a_shared_cache_leaves_what_is_no_entry(remote: Path) -> None:
    fill(Cache(remote))
    (remote / "notes" / "read.me").write_text("keep")
    assert Cache(remote).clear() > 0
    assert Cache(remote).entries() == []
    assert (remote / "notes" / "read.me").read_text() == "keep"


def test_the_variable_may_name_an_address(remote: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OUTFIELD_CACHE", "memory://cache")
    fill(Cache(default_folder()))
    assert json.loads((remote / "k" / "header.json").read_bytes())["about"] == {"about": "numbers"}


def test_rows_may_lie_in_any_file_system(remote: Path) -> None:
    row = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}
    write.begin(remote, ["ab12"], "{}")
    write.rows(remote, "ab12", [row])
    assert query.rows("memory://cache")["value"].to_list() == [0.9]
    assert tables.table(Path("memory://cache")).frame["value"].to_list() == [0.9], "outfield analyse gets a Path"
    assert write.done(remote) == {"ab12"}
