"""How long ``outfield --help`` and ``import outfield`` take over ``python -c pass``: medians of whole processes.

Run: python benchmarks/start.py [--repeats 15]

The first process of each, which compiles, does not count. Targets: 0.3 s for ``outfield --help``, 0.2 s for
``import outfield``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from time import perf_counter

from _side_by_side import Seconds, arguments, compiled, parsed

COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "import outfield": ["-c", "import outfield"],
    "outfield --help": ["-m", "outfield", "--help"],
}
TARGETS = {"import outfield": 0.2, "outfield --help": 0.3}


def process(command: Sequence[str], environment: dict[str, str]) -> Seconds:
    """One whole process, from its start to its end."""
    before, start = getrusage(RUSAGE_CHILDREN), perf_counter()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL, env=environment)
    wall, after = perf_counter() - start, getrusage(RUSAGE_CHILDREN)
    return Seconds(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    args = arguments(parsed(__doc__, repeats=15))
    runs: dict[str, list[Seconds]] = {name: [] for name in COMMANDS}
    with compiled() as environment:
        for _ in range(args.repeats + 1):
            for name, command in COMMANDS.items():
                runs[name].append(process(command, environment))
    middle = {
        name: Seconds(median(s.wall for s in spent[1:]), median(s.cpu for s in spent[1:]))
        for name, spent in runs.items()
    }
    bare = middle["python -c pass"]
    print(f"python -c pass: {bare}")
    for name, target in TARGETS.items():
        over = Seconds(middle[name].wall - bare.wall, middle[name].cpu - bare.cpu)
        print(f"{name}: {over} over it; target {target} s")


if __name__ == "__main__":
    main()
