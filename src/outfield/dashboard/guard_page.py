"""The page of a guard: from an audit log as one file, or live, beside the service or over the log that it writes."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Hashable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from outfield.dashboard import guard_displays
from outfield.dashboard.guard_displays import GuardView, Requests, number_of, percent
from outfield.dashboard.security import LOOPBACK, Guard
from outfield.errors import OutfieldError, UserError
from outfield.guard.audit import answers
from outfield.guard.description import FOLDER, Description, Promised, monitor_with_mirror
from outfield.guard.monitor import CLUMPED, always_valid_interval
from outfield.guard.row_log import files
from outfield.guard.timeline import Timeline, timeline_of
from outfield.places import home
from outfield.reports.html import environment, render_sections, vega
from outfield.store.write import write_text

if TYPE_CHECKING:
    from outfield.guard.service import Service

SECTIONS = {
    "Time line": (guard_displays.flag_rate, guard_displays.evidence, guard_displays.alarms),
    "Promises": (guard_displays.ladder,),
    "Accuracy": (guard_displays.accuracy,),
    "Traffic": (guard_displays.traffic, guard_displays.requests),
    "Flagged inputs": (guard_displays.flagged_inputs,),
}
"""The sections in the order of an operator's questions."""
STATIC = Path(__file__).parent / "static"
PAGE_SCRIPT = Path(__file__).parents[1] / "reports" / "templates" / "page.js"
SHARE = 0.1
"""Of the time, at most, that making the live page takes."""
OF_LOG = "No estimate is in this log: the bundle holds no labelled answers, or too few inputs have come."


def view_of_log(folder: Path | str, bundle: Promised | None = None) -> GuardView:
    """What an audit log tells, of a service that runs or has ended.

    Raises
    ------
    UserError
        No audit log, or one that an older outfield wrote, without the bundle.
    """
    place = home(folder)
    if not (place / "answers").is_dir():
        raise UserError(f"Expected an audit log in {folder}, but there is none. Pass the folder given to --audit.")
    table = answers(place, empty=True)
    if table.is_empty():
        described = bundle or _latest(place)
        return GuardView(described, monitor_with_mirror(described))
    story = timeline_of(table, place, bundle or Description.load(place, str(table["digest"][-1])))
    return GuardView(story.bundle, story.monitor, story, lost=story.lacking, accuracy_missing=OF_LOG)


def _latest(folder: Path) -> Description:
    """What the bundle is that was served last, of a log without answers."""
    found = sorted((folder / FOLDER).glob("*.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(f"Expected answers in {folder}, but there are none yet. Start the service, or pass the bundle.")
    return Description.load(folder, found[-1].stem)


def view_of_service(service: Service) -> GuardView:
    """What a running service knows, and its audit log tells."""
    from outfield.guard.service import accuracy_of

    log, story = None if service.audit is None else service.audit.folder, None
    if log is not None:
        table = answers(log, empty=True)
        if not table.is_empty() and table["digest"][-1] == service.bundle.manifest.digest:
            story = timeline_of(table, log, service.bundle)
    return GuardView(
        service.bundle, service.monitor, story, requests_of(service), logged=log is not None,
        lost=0 if story is None else story.lacking, accuracy_missing=accuracy_of(service)["trust"],
    )  # fmt: skip


def requests_of(service: Service) -> Requests:
    """The requests of a service, from its metrics."""
    counts = service.counts
    return Requests(counts.by_status(), counts.seconds_of(0.5), counts.seconds_of(0.99), service.waiting)


def html(view: GuardView, *, live: bool = False) -> str:
    """The page as text; a live one takes its scripts from beside it, and renews itself."""
    template = environment("outfield.dashboard").get_template("guard.html")
    part = view.bundle.manifest
    return template.render(
        title=f"Guard of {part.model.id}", live=live, facts=_facts(view), state=_state(view), answer=_answer(view),
        cautions=_cautions(view), legends={}, sections=render_sections(SECTIONS, view), provenance=_provenance(view),
        made="" if live else datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), vega="" if live else vega(),
    )  # fmt: skip


def save(view: GuardView, path: Path | str) -> Path:
    """Write the page as one file that asks the network for nothing.

    Raises
    ------
    UserError
        It cannot be written.
    """
    return write_text(html(view), path)


def _facts(view: GuardView) -> list[tuple[str, str]]:
    facts = [("detector", view.bundle.manifest.detector.name), ("promised, at most", percent(view.alpha))]
    if view.timeline is not None:
        flags, n = view.flagged
        facts += [("inputs", f"{n:,}"), ("flagged", percent(flags / n) if n else "none")]
        facts.append(("last input (UTC)", f"{view.timeline.answers['time'][-1]:%Y-%m-%d %H:%M:%S}"))
    return [*facts, ("bundle", part[:12] if (part := view.bundle.manifest.digest) else "")]


def _state(view: GuardView) -> tuple[str, str]:
    """``alarm``, ``quiet`` or ``empty``, and what that means in one sentence."""
    alarmed = {name: one.alarmed_at for name, one in view.monitor.directions.items() if one.alarm}
    if alarmed:
        what = " and ".join("rise" if name == "up" else "fall" for name in alarmed)
        after = number_of(max(at or 0 for at in alarmed.values()))
        return "alarm", f"ALARM after {after}: the scores {what}. The stream is no longer like the calibration data."
    if view.timeline is None and not view.monitor.items:
        return "empty", "No request yet."
    return "quiet", f"No alarm in {number_of(view.monitor.items)}."


def _answer(view: GuardView) -> list[str]:
    promise = view.bundle.manifest.promises[0]
    said = [
        f"Promised: at most {percent(promise.alpha)} of inputs like the calibration data are flagged, in "
        f"{1 - (promise.delta or 0):.0%} of calibrations with {promise.n:,} items."
    ]
    story = view.timeline
    if story is None:
        return [*said, guard_displays.NO_REQUEST if view.logged else guard_displays.NO_LOG]
    flags, n = view.flagged
    low, high = always_valid_interval(flags, n)
    share = percent(flags / n) if n else "none"
    said.append(f"Flagged: {flags:,} of {number_of(n)}, {share} [{percent(low)}, {percent(high)}].")
    return [*said, _accuracy(view, story)]


def _accuracy(view: GuardView, story: Timeline) -> str:
    if story.accuracy.is_empty():
        return view.accuracy_missing
    trust = str(story.accuracy["trust"][-1])
    return trust if story.accuracy["estimator"][-1] is None else f"{guard_displays.accuracy(view).title}. {trust}"


def _cautions(view: GuardView) -> list[str]:
    said = []
    if view.monitor.clumps() > CLUMPED and not (view.timeline and view.timeline.alarms):
        said.append(
            f"Flags come in clumps (variance {view.monitor.clumps():.1f} times the binomial's): inputs that follow "
            "each other are alike, and neither the monitor's promise nor the intervals of the flag rate hold."
        )
    if any(one.alarm for one in view.monitor.directions.values()):
        said.append(
            "The alarm stays until somebody acknowledges it, with outfield guard acknowledge ADDRESS --note TEXT or a "
            "POST to /acknowledge. The evidence then begins anew, with the same promise."
        )
    if view.timeline is not None and view.timeline.earlier:
        said.append(f"{number_of(view.timeline.earlier, 'earlier answer')} of other bundles are not on this page.")
    return said


def _provenance(view: GuardView) -> list[tuple[str, str]]:
    part = view.bundle.manifest
    return [
        ("bundle", part.digest), ("model", f"{part.model.adapter} {part.model.id}"),
        ("calibration", f"{part.calibrate.source}, {part.calibrate.n:,} items"),
        ("built by", f"outfield {part.outfield}"),
        ("threshold", f"{view.bundle.threshold:.6g}"),
    ]  # fmt: skip


class LivePage:
    """The page of what changes: made again when it is asked for and something is new, in a small share of the time."""

    def __init__(self, look: Callable[[], GuardView], revision: Callable[[], Hashable]) -> None:
        self._look, self._revision = look, revision
        self._made: tuple[Hashable, str, str] | None = None
        self._due = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> tuple[str, str]:
        """The page, and the tag that it has as long as it stays."""
        with self._lock:
            revision = self._revision()
            if self._made is None or (self._made[0] != revision and time.monotonic() >= self._due):
                start = time.monotonic()
                text = html(self._look(), live=True)
                self._made = revision, text, f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
                self._due = time.monotonic() + (time.monotonic() - start) / SHARE
            return self._made[1:]


def page_of_log(folder: Path | str) -> LivePage:
    """The live page of an audit log."""
    place = home(folder)
    view_of_log(place)
    return LivePage(lambda: view_of_log(place), lambda: _sizes(place))


def page_of_service(service: Service) -> LivePage:
    """The live page of a service."""
    log = None if service.audit is None else service.audit.folder

    def revision() -> Hashable:
        sizes = () if log is None else _sizes(log)
        counts = sum(service.counts.by_status().values())
        return (
            service.bundle.manifest.digest,
            counts,
            [one.alarm for one in service.monitor.directions.values()].count(True),
            sizes,
        )

    return LivePage(lambda: view_of_service(service), revision)


def _sizes(folder: Path) -> tuple[tuple[str, int], ...]:
    """What changes when something is written into a log."""
    found = []
    for name in ("answers", "events", "accuracy"):
        for path in files(folder / name):
            try:
                found.append((f"{name}/{path.stem}", path.stat().st_size))
            except FileNotFoundError:  # the open file has become Parquet
                found.append((f"{name}/{path.stem}", -1))
    return tuple(found)


def app_of_page(page: LivePage, *, token: str | None = None, hosts: Collection[str] = LOOPBACK) -> ASGIApp:
    """The application of a live page: reading only, of hosts that are ours, with the token where there is one."""
    app = FastAPI(title="outfield guard", openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, token=token, hosts=hosts)

    @app.get("/")
    async def start(request: Request) -> Response:
        text, tag = await run_in_threadpool(page)
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(text, media_type="text/html", headers=headers)

    @app.exception_handler(OutfieldError)
    async def failed(_: Request, error: OutfieldError) -> Response:
        return Response(str(error), 500, media_type="text/plain")

    scripts: dict[str, Callable[[], str]] = {
        "vega.js": vega, "page.js": lambda: PAGE_SCRIPT.read_text(encoding="utf-8"),
        "guard.js": lambda: (STATIC / "guard.js").read_text(encoding="utf-8"),
    }  # fmt: skip

    @app.get("/{name}.js")
    def script(name: str) -> Response:
        if (found := scripts.get(f"{name}.js")) is None:
            return Response("Expected a script of this page, but there is none of that name.", 404)
        return Response(found(), media_type="text/javascript", headers={"Cache-Control": "max-age=3600"})

    return app


def with_page(
    app: ASGIApp, service: Service, *, token: str | None = None, hosts: Collection[str] = LOOPBACK
) -> Starlette:
    """A service's application with its page at ``/dashboard/``, to which ``/`` leads."""
    page: Any = app_of_page(page_of_service(service), token=token, hosts=hosts)

    async def lead(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/dashboard/{query}", 303, {"Cache-Control": "no-store"})

    return Starlette(routes=[Route("/", lead), Route("/dashboard", lead), Mount("/dashboard", page), Mount("/", app)])
