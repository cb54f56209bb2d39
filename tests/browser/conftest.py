"""A browser, a small study of the real digits, and the dashboard that serves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from filelock import FileLock

from outfield.features.cache import Cache
from outfield.studies.run import run
from outfield.studies.spec import Spec
from outfield.trajectory.spec import Trajectory
from outfield.trajectory.track import track
from tests.browser.pages import FLAGS, Visit, found_chromium, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).parents[2]
NEED = "OUTFIELD_NEED_BROWSER"
DIGITS = {"name": "digits", "side": 8, "classes": [0, 1, 2]}
TRACKED = {
    "name": "tracked",
    "title": "Digits while they are learned",
    "kind": "vision",
    "epochs": 4,
    "network": {"name": "small_cnn", "width": 4},
    "id": {split: DIGITS | {"part": split.replace("train", "fit")} for split in ("train", "val", "test")},
    "shifts": [{"shift": "rotation", "severities": [3]}, {"shift": "gaussian_noise", "severities": [2]}],
    "ood": [{"name": "eights", "category": "near", "source": DIGITS | {"classes": [8]}}],
    "models": [{"strategy": "baseline", "seeds": [0, 1, 2]}],
    "detectors": ["energy", "knn"],
    "checkpoints": {"early": 3, "even": 8},
    "resources": {"processes": 1},
}


def small_digits() -> dict[str, Any]:
    """studies/digits.yaml with every detector and OOD set, four strategies of one seed, and little of everything."""
    study: dict[str, Any] = yaml.safe_load((ROOT / "studies" / "digits.yaml").read_text())
    for each in study["ood"]:
        each["source"] |= {"n": 80} if "n" in each["source"] else {}
        each["source"] |= {"each": 12} if "each" in each["source"] else {}
    models = [{"strategy": name, "seeds": [0]} for name in ("baseline", "label_noise", "small_data", "mixup")]
    return study | {
        "models": models,
        "epochs": 4,
        "shifts": [{"shift": "blur", "severities": [1, 3, 5]}],
        "resources": {"processes": 1, "threads": 1},
    }


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that one of the test processes makes, for all of them."""
    base = factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "browser" / name
    with FileLock(shared / f"{name}.lock"):
        if not (done := folder.with_suffix(".done")).exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the small digits study."""
    cache = Cache(tmp_path_factory.getbasetemp() / "features")
    return once(tmp_path_factory, "digits", lambda folder: run(Spec.parse(small_digits()), folder, cache=cache))


@pytest.fixture(scope="session")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small study of tracked runs."""
    return once(tmp_path_factory, "tracked", lambda folder: track(Trajectory.parse(TRACKED), folder))


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where the browser is; without one the tests skip and say so, unless the environment says that it is needed."""
    try:
        import playwright.sync_api  # noqa: F401
    except ModuleNotFoundError:
        return _without("playwright is not installed: pip install 'outfield[dev]'")
    return found_chromium() or _without("no Chromium on this machine: apt-get install chromium")


def _without(reason: str) -> str:
    if os.environ.get(NEED) == "1":
        pytest.fail(f"{NEED}=1, but {reason}", pytrace=False)
    pytest.skip(f"browser tests need a browser: {reason}")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Pages of a fresh browser; at the end they must have been without an error and have asked no other host."""
    made = Visit(browser, accept_downloads=True)
    yield made
    made.context.close()
    assert not made.errors, made.errors
    assert all(not host or host.startswith("127.0.0.1:") for host in made.hosts), made.hosts


@pytest.fixture(scope="session")
def dashboard(digits: Path, tracked: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard with both small studies."""
    assert digits.parent == tracked.parent
    with served(digits.parent, tmp_path_factory.mktemp("index")) as address:
        yield address
