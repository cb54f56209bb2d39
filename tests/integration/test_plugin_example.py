"""A package of its own contributes a detector and an analysis: installed for real, found by name, run like our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from outfield.reports.results import Results
from outfield.testing import simulated

PROGRAM = """
import json, torch
from outfield import registry
from outfield.types import Outputs
detector = registry.create("detectors", "margin", scale=2.0)
scores = detector.score(Outputs(logits=torch.tensor([[3.0, 1.0, 0.0]])), {})
print(json.dumps({"listed": "margin" in registry.names("detectors"), "name": registry.name_of("detectors", detector),
                  "scores": scores.tolist()}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> dict[str, str]:
    target = tmp_path_factory.mktemp("site")
    uv = Path(sys.executable).parent / "uv"
    example = repository / "tests" / "plugin_example"
    command = [str(uv), "pip", "install", "--quiet", "--no-deps", "--python", sys.executable, "--target", str(target)]
    subprocess.run([*command, str(example)], check=True, timeout=300)
    paths = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)}


def test_a_foreign_detector_takes_the_same_road_as_our_own(installed: dict[str, str]) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=installed, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"listed": True, "name": "margin", "scores": [-4.0]}


def test_the_command_line_lists_a_foreign_detector(installed: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "outfield", "list", "detectors"],
        env=installed,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "margin" in done.stdout.split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return simulated.folder(
        tmp_path_factory.mktemp("study"), simulated.rows(seeds=2, detectors=("msp", "energy", "mds"))
    )


def output(installed: dict[str, str], *words: object) -> str:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, env=installed, capture_output=True, text=True, check=True).stdout


def test_the_command_line_lists_a_foreign_analysis_and_what_it_asks(installed: dict[str, str]) -> None:
    lines = output(installed, "-m", "outfield", "list", "analyses").splitlines()
    assert {line.split()[0] for line in lines} >= {"one_family_out", "performance_against_detection", "seed_spread"}
    page = output(installed, "-m", "outfield", "list", "analyses", "seed_spread")
    assert "How far do seeds of one strategy lie apart?" in page and "wide = 0.01" in page


def test_a_foreign_analysis_adds_a_finding_a_table_and_a_picture_to_the_report(
    installed: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    spread = Results.of(folder).strategies.select(pl.col("auroc_high") - pl.col("auroc_low")).to_series().max()
    output(installed, "-m", "outfield", "report", folder, "-o", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    section = text.partition(">Further analyses</h2>")[2].partition("</section>")[0]
    assert "How much the seed decides" in section and f"lie furthest apart: {spread:.3f} of mean AUROC" in section
    assert 'id="table-analysis-seed-spread"' in section and 'id="csv-analysis-seed-spread"' in section
    assert json.loads(section.partition('id="analysis-seed-spread-0">')[2].partition("</script>")[0])["mark"]
    findings = text.partition('id="findings"')[2].partition("</section>")[0]
    assert "The seed decides" in findings and "EX001 info" in findings and "Train more seeds." in findings


def test_outfield_analyse_prints_a_foreign_analysis(installed: dict[str, str], folder: Path, tmp_path: Path) -> None:
    said = output(installed, "-m", "outfield", "analyse", folder, "--html", tmp_path / "page.html")
    assert "EX001 info" in said and "Further analyses" in said and "How much the seed decides" in said
    assert 'id="table-analysis-seed-spread"' in (tmp_path / "page.html").read_text()


DASHBOARD = """
import json, sys
from pathlib import Path
from outfield.dashboard import displays, overview
from outfield.dashboard.selection import Selection
from outfield.dashboard.studies import Shelf
folder = Path(sys.argv[1])
study = Shelf(folder, Path(sys.argv[2])).study(folder.name)
for _ in study.gathered():
    pass
print(json.dumps({"listed": displays.contents(study)[-1], "findings": overview.findings(study)["findings"],
                  "shown": displays.display(study, "analysis-seed-spread", Selection())}))
"""


def test_the_dashboard_lists_and_shows_a_foreign_analysis(
    installed: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    found = json.loads(output(installed, "-c", DASHBOARD, folder, tmp_path))
    asked = {"id": "analysis-seed-spread", "title": "How far do seeds of one strategy lie apart?"}
    assert found["listed"]["title"] == "Further analyses" and asked in found["listed"]["displays"]
    assert found["shown"]["title"] == "How much the seed decides" and found["shown"]["n"] == 12
    assert len(found["shown"]["specs"]) == 1 and found["shown"]["empty"] is None
    assert "EX001" in {one["code"] for one in found["findings"]}


WITHOUT_DETECTORS = """
import sys
from pathlib import Path
import polars as pl
from outfield.reports import page
from outfield.reports.results import Results
rows = Results.of(Path(sys.argv[1])).rows
print(page.html(Results.of(rows.filter(pl.col("metric") != "auroc"))))
"""


def test_a_foreign_analysis_that_the_rows_cannot_answer_says_what_is_missing(
    installed: dict[str, str], folder: Path
) -> None:
    text = output(installed, "-c", WITHOUT_DETECTORS, folder)
    section = text.partition(">Further analyses</h2>")[2].partition("</section>")[0]
    assert "Expected rows of AUROC, but these have none. Run the study with detectors and OOD sets." in section


def test_its_own_tests_run_the_contracts_of_its_plug_ins(
    installed: dict[str, str], repository: Path, tmp_path: Path
) -> None:
    tests = shutil.copytree(repository / "tests" / "plugin_example" / "tests", tmp_path / "tests")
    said = output(installed, "-m", "pytest", "-p", "no:cacheprovider", "-v", tests)
    ran = {line.split("[")[1].split("]")[0] for line in said.splitlines() if "PASSED" in line}
    assert ran == {"analyses/seed_spread", "detectors/flow", "detectors/margin", "detectors/standardised"}


WITHOUT_PYTEST = """
import sys
from outfield.errors import UserError
from outfield.testing import plugins_of
for given in ({"apart": ["flow"]}, {"apart": ["nothing"]}, {"apart": ["flow", "standardised"]}):
    try:
        for contract in plugins_of("outfield-example", **given):
            contract()
    except (AssertionError, UserError) as error:
        print(type(error).__name__, error)
print(sys.modules.get("pytest"), sys.modules.get("_pytest"))
"""


def test_the_contracts_need_no_pytest_and_say_what_they_lack(installed: dict[str, str]) -> None:
    lacking, unknown, loaded = output(installed, "-c", WITHOUT_PYTEST).splitlines()
    assert lacking.startswith("AssertionError Expected to build detectors/standardised from {}")
    assert "plugins_of(..., parameters={'standardised': {...}})" in lacking
    assert unknown.startswith("UserError Expected plug-ins that 'outfield-example' declares, but got ['nothing']")
    assert loaded == "None None"
