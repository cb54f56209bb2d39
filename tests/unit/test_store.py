"""Result files: whole or not there, read by key, and never mixed with what is damaged or outdated."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from outfield.checksums import EarlierFileWarning
from outfield.errors import OutfieldError, UserError
from outfield.store import query, schema, scores, write
from outfield.store.index import Index

ROW = {"study": "s", "model": "m", "metric": "auroc", "value": 0.9, "role": "test", "set_kind": "ood"}


def test_columns_are_those_of_the_design_then_digests_and_versions():
    names = """study, run, model, strategy, family, seed, step, detector, params, tuned, role, task, id, ood, set_kind,
    part, group, ood_category, shift, severity, metric, value, low, high, n_id, n_ood, seconds, passes"""
    assert [*schema.COLUMNS][:28] == [name.strip() for name in names.split(",")]
    assert [*schema.COLUMNS][28:] == ["data_digest", "model_digest", "outfield", "torch"]


def test_rows_come_back_as_they_were_written(tmp_path):
    rows = [ROW | {"ood": "far", "params": {"k": 5}, "tuned": False, "n_ood": 40, "low": 0.8, "high": math.nan}, ROW]
    path = write.rows(tmp_path, "key1", rows)
    assert path == tmp_path / "rows" / "key1.parquet"
    table = query.rows(tmp_path)
    assert dict(table.schema) == schema.COLUMNS
    first, second = table.rows(named=True)
    assert (first["params"], first["tuned"], first["low"], first["high"]) == ('{"k":5}', False, 0.8, None)
    assert first["outfield"] and first["torch"]
    assert second["detector"] is None
    assert write.done(tmp_path) == {"key1"}


@pytest.mark.parametrize(
    "change", [{"surprise": 1}, {"metric": None}, {"role": "train"}, {"set_kind": "near"}, {"value": None}]
)
def test_rows_that_do_not_fit_are_refused_and_leave_nothing(tmp_path, change):
    with pytest.raises(OutfieldError, match="Expected"):
        write.rows(tmp_path, "key1", [ROW | change])
    assert not list(tmp_path.rglob("*.parquet"))


def test_full_disk_leaves_no_half_file_and_says_what_to_do(tmp_path, monkeypatch):
    write.rows(tmp_path, "old", [ROW])

    def full(self, file, **options):
        Path(file).write_bytes(b"PAR1half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(pl.DataFrame, "write_parquet", full)
        with pytest.raises(UserError, match=r"No space left on device\. Free some space"):
            write.rows(tmp_path, "new", [ROW])
    assert [path.name for path in (tmp_path / "rows").iterdir()] == ["old.parquet"]


def test_a_failing_sync_leaves_no_half_file(tmp_path, monkeypatch):
    def fail(handle):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match="Input/output error"):
        write.rows(tmp_path, "key1", [ROW])
    assert not list((tmp_path / "rows").iterdir())


def test_an_interrupted_block_leaves_nothing(tmp_path):
    def interrupted():
        with write.atomically(tmp_path / "x.bin") as temporary:
            temporary.write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for act in (lambda f: write.rows(f, "k", [ROW]), lambda f: write.begin(f, ["k"], "{}")):
        with pytest.raises(UserError, match="choose a folder that you may write"):
            act(tmp_path / "file")


def test_a_read_only_folder_is_a_users_mistake(tmp_path, monkeypatch):
    write.begin(tmp_path, ["k"], "{}")

    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)  # root may write anywhere, so permission bits would not do
    with pytest.raises(UserError, match="Permission denied"):
        write.rows(tmp_path, "k", [ROW])


@pytest.mark.parametrize("spoil", ["truncate", "flip", "empty"])
def test_damaged_files_are_named_set_aside_and_done_again(tmp_path, spoil):
    for key in ("good", "bad"):
        write.rows(tmp_path, key, [ROW | {"model": key}] * 50)
    damage(tmp_path / "rows" / "bad.parquet", spoil)
    with pytest.warns(write.DamagedFileWarning, match=r"bad\.parquet"):
        assert query.rows(tmp_path)["model"].unique().to_list() == ["good"]
    with pytest.warns(write.DamagedFileWarning, match="its job is done again"):
        assert write.done(tmp_path) == {"good"}
    assert (tmp_path / "rows" / "damaged" / "bad.parquet").exists()
    write.rows(tmp_path, "bad", [ROW])
    assert write.done(tmp_path) == {"good", "bad"}


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "flip":
        content[20:40] = bytes(byte ^ 0xFF for byte in content[20:40])
    path.write_bytes({"truncate": content[: len(content) // 2], "flip": content, "empty": b""}[how])


def test_every_file_damaged_is_an_error_that_says_so(tmp_path):
    damage(write.rows(tmp_path, "bad", [ROW]), "truncate")
    with pytest.warns(write.DamagedFileWarning), pytest.raises(UserError, match="every file is damaged"):
        query.rows(tmp_path)


def test_rows_of_another_form_of_the_study_are_kept_but_not_read(tmp_path):
    for key in ("now", "then"):
        write.rows(tmp_path, key, [ROW | {"model": key}])
    write.begin(tmp_path, ["now", "later"], json.dumps({"name": "s"}))
    with pytest.warns(query.MissingRowsWarning, match="1 of the 2 jobs .* have no rows"):
        assert query.rows(tmp_path)["model"].to_list() == ["now"]
    assert query.progress(tmp_path) == (1, 2)
    write.leave_out(tmp_path, ["later"])
    assert query.rows(tmp_path)["model"].to_list() == ["now"], "what does not apply to its model is not missed"
    assert query.progress(tmp_path) == (1, 1)
    assert query.manifest(tmp_path)["study"] == {"name": "s"}
    assert write.done(tmp_path) == {"now", "then"}


@pytest.mark.parametrize(
    "content",
    ['{"direction": "minimize"}', "[]", '"text"', '{"study": "x", "jobs": null}', '{"study": {}, "jobs": 5}',
     '{"study": {}, "jobs": [{}]}', "[" * 100_000],
)  # fmt: skip
def test_a_study_json_of_another_program_is_named(tmp_path, content):
    write.rows(tmp_path, "k", [ROW])
    (tmp_path / "study.json").write_text(content)
    for read in (query.manifest, query.rows, query.progress):
        with pytest.raises(UserError, match=r"^Expected .*study\.json, but got.*un the study again"):
            read(tmp_path)


def test_no_results_and_bad_sql_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="Run it first"):
        query.rows(tmp_path / "nowhere")
    write.rows(tmp_path, "k", [ROW])
    with pytest.raises(UserError, match='column "nope" not found'):
        query.sql(tmp_path, "SELECT nope FROM rows")
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match="Expected JSON"):
        query.rows(tmp_path)


def test_conditions_and_statements_select(tmp_path):
    write.rows(tmp_path, "k", [ROW, ROW | {"part": "noise", "value": 0.1}, ROW | {"role": "curve", "tuned": True}])
    assert query.rows(tmp_path, query.TEST).height == 1
    assert query.sql(tmp_path, "SELECT count(*) AS n FROM rows").item() == 3


def test_scores_are_kept_for_each_sample(tmp_path):
    table = pl.DataFrame({"set": ["test", "far"], "row": [0, 1], "score": [0.25, 0.5]})
    write.scores(tmp_path, "pgd 2/255", "k", table)
    back = query.scores(tmp_path, "pgd 2/255", "k")
    assert dict(back.schema) == schema.SCORE_COLUMNS
    assert back.select("set", "row", "score").rows() == [("test", 0, 0.25), ("far", 1, 0.5)]
    with pytest.raises(UserError, match="Expected scores in"):
        query.scores(tmp_path, "pgd 2/255", "other")
    with pytest.raises(OutfieldError, match="row is not there"):
        write.scores(tmp_path, "m", "k", table.drop("row"))


def test_leftovers_of_a_killed_run_are_removed_but_not_those_of_a_running_one(tmp_path):
    write.rows(tmp_path, "k", [ROW])
    old, fresh = (tmp_path / "rows" / f".{name}.parquet.ab.part" for name in ("old", "fresh"))
    for path in (old, fresh):
        path.write_bytes(b"PAR1")
    os.utime(old, (0, 0))
    assert write.done(tmp_path) == {"k"}
    assert (old.exists(), fresh.exists()) == (False, True)


def test_unfinished_files_that_another_run_finishes_meanwhile_are_passed_over(tmp_path):
    write.rows(tmp_path, "k", [ROW])
    (tmp_path / "rows" / ".other.parquet.ab.part").symlink_to(tmp_path / "gone")
    assert write.done(tmp_path) == {"k"}


@pytest.mark.parametrize("name", ["seed=7", "detector=all", "value=1"])
def test_a_folder_called_like_a_column_leaves_the_rows_as_they_are(tmp_path, name):
    folder = tmp_path / name
    row = ROW | {"seed": 3, "detector": "msp"}
    write.rows(folder, "k", [row])
    write.scores(folder, "m", "k", pl.DataFrame({"set": ["test", "far"], "row": [0, 0], "score": [0.5, 1.0]}))
    written = query.rows(tmp_path / name)
    index = Index(folder, tmp_path / "index")
    index.renew()
    columns = ", ".join(f'"{column}"' for column in written.columns)
    assert index.ask(f"SELECT {columns} FROM rows").equals(written)
    assert written.select("seed", "detector", "value").row(0) == (3, "msp", 0.9)
    assert scores.jobs(folder, "m") == {"msp": "k"}
    assert index.scores(write.scores_path(folder, "m", "k")).columns == ["set", "part", "row", "score"]
    index.close()


def test_folders_and_models_may_have_brackets_and_stars(tmp_path):
    folder = tmp_path / "a[1]*"
    write.rows(folder, "k", [ROW])
    write.scores(folder, "m[2]?", "k", pl.DataFrame({"set": ["test"], "row": [0], "score": [0.5]}))
    assert query.rows(folder).height == query.scores(folder, "m[2]?", "k").height == 1
    assert write.done(folder) == {"k"}


def test_reading_needs_no_pyarrow_and_ends_in_silence(tmp_path):
    write.rows(tmp_path, "k", [ROW])
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        f"from outfield.store import query; print(query.rows({str(tmp_path)!r}).height)"
    )
    end = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert (end.stdout, end.stderr) == ("1\n", "")


def test_a_written_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with write.atomically(tmp_path / "whole") as temporary:
        temporary.write_text("x")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_study_json_without_a_seal_is_said_once(tmp_path):
    write.rows(tmp_path, "k", [ROW])
    (tmp_path / "study.json").write_text('{"study": {"name": "s"}, "jobs": ["k"]}')
    with pytest.warns(EarlierFileWarning, match=r"the file study.json bears no checksum"):
        assert query.rows(tmp_path).height == 1
    assert query.progress(tmp_path) == (1, 1)


def test_a_table_without_results_among_the_rows_is_left_out_and_named(tmp_path):
    write.rows(tmp_path, "k", [ROW])
    pl.DataFrame({"other": [1]}).write_parquet(tmp_path / "rows" / "foreign.parquet")
    with pytest.warns(write.DamagedFileWarning, match=r"foreign\.parquet"):
        assert query.rows(tmp_path)["value"].to_list() == [ROW["value"]]


def test_a_file_that_may_not_be_opened_now_is_no_damaged_file(tmp_path, monkeypatch):
    write.rows(tmp_path, "ab12", [ROW])
    path = tmp_path / "rows" / "ab12.parquet"

    def full(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(write.checksums, "check_file", full)
    with pytest.raises(UserError, match=r"ab12.parquet, but got: Too many open files"):
        write.done(tmp_path)
    assert path.exists() and not (tmp_path / "rows" / "damaged").exists()
