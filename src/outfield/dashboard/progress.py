"""How far a study is: asked once, or told live while it runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from outfield.dashboard.studies import Study
from outfield.errors import OutfieldError

WINDOW = 600.0
"""Seconds over which the rate is taken."""
RECENT = 10
MOST = 5000
"""Jobs that the rate looks at."""
EVERY = 2.0
"""Seconds between two looks."""
ALIVE = 15.0
"""Seconds after which a sign of life is sent."""


def progress(study: Study) -> dict[str, Any]:
    """Jobs done and all, whether the study runs, jobs a minute, and what was done last."""
    done, total = study.progress
    written = study.index.written(MOST)
    return {
        "done": done,
        "total": total,
        "running": study.running,
        "rate_per_minute": _rate([when for _, when in written]) if study.running else 0.0,
        "recent": _titles(study, [job for job, _ in written[:RECENT]]),
    }


def _rate(times: list[float]) -> float:
    """Files a minute over the last ten minutes, or since the first where that is later.

    Examples
    --------
    >>> _rate([1060.0, 1030.0, 1000.0])
    2.0
    """
    late = [when for when in times if when > times[0] - WINDOW]
    span = late[0] - late[-1] if len(late) > 1 else 0.0
    return 60.0 * (len(late) - 1) / span if span else 0.0


def _titles(study: Study, jobs: list[str]) -> list[str]:
    """What jobs were: model and detector."""
    if not jobs:
        return []
    found = study.index.ask(
        "SELECT job, any_value(model), any_value(detector) FROM rows WHERE job IN (SELECT unnest(?)) GROUP BY job",
        [jobs],
    )
    named = {job: f"{model}: {detector or 'the model itself'}" for job, model, detector in found.iter_rows()}
    return [named[job] for job in jobs if job in named]


async def events(ask: Callable[[], Awaitable[dict[str, Any]]], every: float = EVERY) -> AsyncIterator[str]:
    """Server-sent events: the progress now, and again whenever it is another; a sign of life in between."""
    last, silent = "", 0.0
    while True:
        try:
            text = json.dumps(await ask(), ensure_ascii=False)
        except OutfieldError as error:
            text = json.dumps({"error": str(error)}, ensure_ascii=False)
        if text != last:
            last, silent = text, 0.0
            yield f"data: {text}\n\n"
        elif silent >= ALIVE:
            silent = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(every)
        silent += every
