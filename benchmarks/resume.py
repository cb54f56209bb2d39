"""A finished study of 200 jobs run again: whole processes, and the inputs that went through a model.

Ten models of the digits' quickstart size, a job for each model and for 19 detectors on it. The later processes find all
of it done, the last without the record that says so. Targets: at most 2 s, and no forward pass.

Run: python benchmarks/resume.py [--folder F]   a folder with the finished study is used as it is
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter

import yaml
from _side_by_side import Seconds, arguments, compiled, parsed

from outfield import registry

DEMANDING = ("corp", "openmax", "she")
"""Slow to fit, or in need of a model that was trained for more than an epoch."""
AGAIN = """
import sys
from time import perf_counter, process_time
from pathlib import Path
started = perf_counter(), process_time()
from outfield.features.cache import Cache
from outfield.studies.run import run
imported = perf_counter(), process_time()
folder = Path(sys.argv[1])
outcome = run(folder / "study.yaml", folder / "results", cache=Cache(folder / "cache")).check()
ended = perf_counter(), process_time()
print(outcome.jobs, outcome.skipped, outcome.forwards, *(b - a for a, b in zip(started, imported)),
      *(b - a for a, b in zip(imported, ended)))
"""


def digits(part: str, classes: list[int]) -> dict[str, object]:
    return {"name": "digits", "classes": classes, "part": part, "side": 16}


def study(models: int, jobs: int) -> dict[str, object]:
    """A study of ``models`` models with ``jobs`` jobs each."""
    every = {name: registry.create("detectors", name) for name in registry.names("detectors")}
    fast = [name for name, one in every.items() if not one.probes() and name not in DEMANDING]
    known = list(range(8))
    generated = {"name": "synthetic", "each": 100, "side": 16}
    return {
        "name": "resume",
        "id": {"train": digits("fit", known), "val": digits("val", known), "test": digits("test", known)},
        "ood": [
            {"name": "digit 8", "category": "near", "source": digits("all", [8])},
            {"name": "digit 9", "category": "near", "source": digits("all", [9])},
            {"name": "unit tests", "category": "synthetic", "source": generated},
        ],
        "shifts": [{"shift": "gaussian_noise"}, {"shift": "rotation"}, {"shift": "jpeg"}],
        "network": {"name": "small_cnn", "width": 4},
        "epochs": 1,
        "models": [{"strategy": "baseline", "seeds": list(range(models))}],
        "detectors": fast[: jobs - 1],
        "resources": {"processes": 1},
    }


def once(folder: Path, environment: dict[str, str]) -> tuple[Seconds, list[float]]:
    """One whole process that runs the study, and what it says: jobs, skipped, forwards, seconds."""
    before, start = getrusage(RUSAGE_CHILDREN), perf_counter()
    said = subprocess.run(
        [sys.executable, "-c", AGAIN, str(folder)], check=True, capture_output=True, text=True, env=environment
    ).stdout
    wall, after = perf_counter() - start, getrusage(RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Seconds(wall, cpu), list(map(float, said.split()))


def main() -> None:
    parser = parsed(__doc__, models=10, jobs=20, repeats=5)
    parser.add_argument("--folder", type=Path)
    args = arguments(parser)
    with tempfile.TemporaryDirectory() as temporary, compiled() as environment:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "study.yaml").write_text(yaml.safe_dump(study(args.models, args.jobs)))
        first, (jobs, skipped, forwards, *_) = once(folder, environment)
        print(f"first run: {jobs:.0f} jobs, {skipped:.0f} done before, {forwards:,.0f} inputs; {first}")
        once(folder, environment)
        runs = [once(folder, environment) for _ in range(args.repeats)]
        (folder / "results" / "finished.json").unlink()
        compared, (*_,) = once(folder, environment)
    middle = Seconds(median(spent.wall for spent, _ in runs), median(spent.cpu for spent, _ in runs))
    jobs, skipped, forwards, *steps = (median(column) for column in zip(*(said for _, said in runs), strict=True))
    print(f"again: {jobs:.0f} jobs, {skipped:.0f} done before, {forwards:,.0f} forward passes; target 0")
    print(f"whole process: {middle}; target 2 s")
    print(f"of that imports {Seconds(*steps[:2])}, the study {Seconds(*steps[2:])}")
    print(f"the same after one input was touched, so that all is compared: {compared}")


if __name__ == "__main__":
    main()
