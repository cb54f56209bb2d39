"""The command line as a user meets it: what it prints, and that a mistake is no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from outfield import registry
from outfield.cli import main
from outfield.features.cache import Cache
from tests.support import small_study


def typed(*words: str) -> int:
    """Run a command in this process; its exit status."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["outfield", *words])
        main()
    return int(end.value.code or 0)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OUTFIELD_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(small_study()))
    return path


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--help") == 0
    said = capsys.readouterr().out
    assert all(command in said for command in ("quickstart", "run", "analyse", "report", "list", "cache", "doctor"))


@pytest.mark.parametrize("kind", registry.kinds())
def test_list_shows_each_kind(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("list", kind) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(registry.names(kind))


def test_there_are_at_least_31_detectors(capsys: pytest.CaptureFixture[str]) -> None:
    typed("list", "detectors")
    assert len(capsys.readouterr().out.splitlines()) >= 31


def test_an_unknown_kind_is_suggested(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("list", "detector") == 2
    assert "Did you mean 'detectors'" in capsys.readouterr().err


def test_a_study_runs_resumes_and_is_reported(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("run", str(study), "--dry-run") == 0
    ahead = capsys.readouterr().out
    assert "8 jobs, 0 of them done" in " ".join(ahead.split())
    assert not Path("results").exists()
    assert typed("run", str(study)) == 0
    assert "8 jobs done, 0 were there already" in " ".join(capsys.readouterr().out.split())
    assert typed("run", str(study)) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert (
        "0 jobs done, 8 were there already; 0 forward passes" in said or "Nothing to do: 8 of 8 jobs are done" in said
    )
    assert "Next: outfield report" in said
    assert typed("report", "small") == 0
    assert Path("results/small/report.html").read_text().lower().startswith("<!doctype html>")
    assert typed("cache") == 0
    assert "results" not in capsys.readouterr().err
    assert Cache(Path("cache")).entries()
    assert typed("cache", "--clear") == 0
    assert not Cache(Path("cache")).entries()


def test_names_that_look_like_markup_run_to_the_end(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A closing tag that was never opened once ended a study after all of its work."""
    made = small_study(title="a [/red] title", models=[{"strategy": "baseline", "label": "[/red] [b]", "seeds": [0]}])
    made["ood"][0]["name"] = "[/bold] [link=http://x]set"
    study.write_text(yaml.safe_dump(made))
    for words in (
        ("run", str(study), "--dry-run"),
        ("run", str(study)),
        ("report", "small"),
        ("analyse", "results/small"),
    ):
        typed(*words)
        said = capsys.readouterr()
        assert "Traceback" not in said.err + said.out and "MarkupError" not in said.err
        if "--dry-run" in words:
            assert "[/bold] [link=http://x]set" in said.out
    assert Path("results/small/report.html").is_file()


def test_a_wrong_study_file_shows_all_its_mistakes(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study.write_text(yaml.safe_dump(small_study(detectors=["msq", "knm"], colour="red", epochs=0)))
    assert typed("run", str(study)) == 2
    said = capsys.readouterr().err
    assert "small.yaml: 4 problems" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "none.yaml"), "none.yaml, but it cannot be read"),
        (("report", "none"), "Run `outfield run study.yaml` first"),
        (("run",), "Missing argument"),
        (("fly",), "No such command"),
    ],
)
def test_a_mistake_is_told_without_a_traceback(
    study: Path, words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(*words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_doctor_finds_this_installation_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("doctor") == 0
    said = capsys.readouterr().out
    assert "torch" in said
    assert "Plug-ins that do not load" not in said


def test_ctrl_c_says_how_to_go_on(study: Path) -> None:
    """Of a study that is far from its end when it is stopped: of a hundred models some rows are there."""
    study.write_text(yaml.safe_dump(small_study(models=[{"strategy": "baseline", "seeds": list(range(100))}])))
    running = subprocess.Popen(
        [sys.executable, "-m", "outfield", "run", str(study)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not list(study.parent.glob("results/small/rows/*.parquet")):
        assert running.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"run the same command again to go on" in said
    assert b"Traceback" not in said


def test_no_heading_of_a_table_is_cut_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert typed("analyse", "--example", "resnet50-48") == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    words = set(said.split())
    assert {"spearman", "kendall", "pearson", "carried", "partial", "omega2", "differs"} <= words
