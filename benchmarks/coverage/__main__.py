"""Print the table of measured coverage."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor

from benchmarks.coverage import SIMULATE


def row(job: tuple[str, int]) -> tuple[str, bool]:
    """A line of the table, and whether the case is within its claim."""
    name, repetitions = job
    each = SIMULATE[name]
    share, counted = each.share(repetitions)
    claimed = "none" if each.claimed is None else f"{each.claimed[0]:.3g} to {each.claimed[1]:.3g}"
    wanted, holds = {"coverage": ".95", "size": ".05", "power": ".80"}[each.kind], each.holds(share, counted)
    few = f"; {counted:,} not refused" if counted < repetitions else ""
    verdict = "" if holds else "MISSES"
    return f"| {name} | {wanted} | {share:.3f}{few} | {claimed} | {each.note}{verdict} |", holds


def main(repetitions: int = 2000, words: str = "") -> None:
    """Print the table as Markdown, of the cases whose names hold ``words``."""
    start = time.perf_counter()
    print(f"{repetitions:,} repetitions, seeded\n\n| what | wanted | measured | claimed | |\n|---|---|---|---|---|")
    jobs = [(name, repetitions) for name in SIMULATE if words in name]
    failed = 0
    with ProcessPoolExecutor() as pool:
        for line, holds in pool.map(row, jobs):
            failed += not holds
            print(line, flush=True)
    print(f"\n{len(jobs)} cases in {time.perf_counter() - start:,.0f} s, {failed} outside their claim")
    raise SystemExit(failed > 0)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, " ".join(sys.argv[2:]))
