"""The dashboard's application: paths to views, mistakes to answers."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import duckdb
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.staticfiles import StaticFiles

from outfield.dashboard import displays, overview, progress, query_parameters, replies, rows, sample, samples
from outfield.dashboard.origins import Origins
from outfield.dashboard.sample import Viewer
from outfield.dashboard.security import HEADERS, LOOPBACK, Guard
from outfield.dashboard.selection import Selection
from outfield.dashboard.studies import Indexing, Shelf, Unknown
from outfield.errors import OutfieldError, UserError
from outfield.features.cache import Cache, default_folder
from outfield.reports.html import vega
from outfield.store.schema import COLUMNS

STATIC = Path(__file__).parent / "static"
STYLE = Path(__file__).parents[1] / "reports" / "templates" / "page.css"
"""The report's style sheet, which the dashboard adds to."""


def create_app(
    folder: Path | str, *, token: str | None = None, hosts: Collection[str] = LOOPBACK, place: Path | None = None
) -> FastAPI:
    """The dashboard of the studies below a folder.

    Parameters
    ----------
    folder : path
        Holds study folders, or is one. It is never written.
    token : str, optional
        What a caller must show; None lets everyone in, which is for loopback alone.
    hosts : collection of str
        Names by which the server may be called.
    place : path, optional
        Where indexes are kept; by default ``index`` in the user's cache folder.

    Raises
    ------
    UserError
        The folder cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> create_app(tempfile.mkdtemp()).title
    'outfield'
    """
    shelf = Shelf(Path(folder), place or default_folder() / "index")
    shelf.studies()
    app = FastAPI(
        title="outfield", openapi_url=None, docs_url=None, redoc_url=None, default_response_class=replies.Json
    )
    app.add_middleware(Guard, token=token, hosts=hosts)
    app.state.shelf = shelf
    _add_errors(app)
    _add_pages(app)
    _add_study(app, shelf)
    _add_tables(app, shelf)
    _add_samples(app, shelf, Origins(Cache(default_folder())))
    _add_progress(app, shelf)
    return app


def _add_errors(app: FastAPI) -> None:
    def answer(status: int, text: str, **more: Any) -> Response:
        return replies.Json({"error": text, **more}, status)

    async def unknown(_: Request, error: Exception) -> Response:
        return answer(404, str(error))

    async def indexing(_: Request, error: Exception) -> Response:
        assert isinstance(error, Indexing)
        return answer(503, str(error), indexing={"done": error.done, "total": error.total})

    async def refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        said = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        return answer(422, f"Expected other parameters: {said}.")

    async def mistaken(_: Request, error: Exception) -> Response:
        return answer(422 if isinstance(error, UserError) else 500, str(error))

    async def unreadable(_: Request, error: Exception) -> Response:
        return answer(
            500,
            f"Expected to read the gathered rows in {app.state.shelf.place}, but got: {error}. "
            "End the dashboard, remove that folder and start it again: the rows are gathered anew.",
        )

    async def failed(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return answer(
            error.status_code, f"Expected an address of the dashboard, but there is nothing here ({error.detail})."
        )

    async def broken(_: Request, error: Exception) -> Response:
        said = f"The dashboard failed: {type(error).__name__}: {error}. The terminal where it runs says more."
        return replies.Json({"error": said}, 500, HEADERS)

    handlers = {Unknown: unknown, Indexing: indexing, RequestValidationError: refused, OutfieldError: mistaken,
                duckdb.Error: unreadable, HTTPException: failed, Exception: broken}  # fmt: skip
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


@cache
def _vega() -> bytes:
    return vega().encode()


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def start() -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/static/vega.js")
    def charts() -> Response:
        return Response(_vega(), media_type="text/javascript", headers={"Cache-Control": "max-age=86400"})

    @app.get("/static/page.css")
    def style() -> Response:
        return FileResponse(STYLE, headers={"Cache-Control": "no-cache"})

    app.mount("/static", StaticFiles(directory=STATIC))


def _add_study(app: FastAPI, shelf: Shelf) -> None:
    @app.get("/api/studies")
    def studies() -> Response:
        return replies.Json({"studies": [overview.outline(study) for study in shelf.studies()]})

    @app.get("/api/studies/{study}")
    def study(study: str) -> Response:
        return replies.Json(overview.study(shelf.study(study)))

    @app.get("/api/studies/{study}/findings")
    def findings(study: str) -> Response:
        return replies.Json(overview.findings(shelf.study(study)))

    @app.get("/api/studies/{study}/displays/{display}.csv")
    def display_csv(study: str, display: str, query: Annotated[query_parameters.Selected, Query()]) -> Response:
        found = shelf.study(study)
        return replies.csv([displays.table(found, display, query.of(found))], f"{study}-{display}")

    @app.get("/api/studies/{study}/displays/{display}")
    def display(study: str, display: str, query: Annotated[query_parameters.Selected, Query()]) -> Response:
        found = shelf.study(study)
        return replies.Json(displays.display(found, display, query.of(found)))


def _add_tables(app: FastAPI, shelf: Shelf) -> None:
    @app.get("/api/studies/{study}/rows")
    def some(study: str, query: Annotated[query_parameters.Rows, Query()]) -> Response:
        return replies.Json(rows.page(shelf.study(study), query))

    @app.get("/api/studies/{study}/rows.csv")
    def every(study: str, query: Annotated[query_parameters.Sorted, Query()]) -> Response:
        return replies.csv(rows.every(shelf.study(study), query), f"{study}-rows", tuple(COLUMNS))


def _add_samples(app: FastAPI, shelf: Shelf, origins: Origins) -> None:
    @app.get("/api/studies/{study}/samples")
    def some(study: str, query: Annotated[query_parameters.Samples, Query()]) -> Response:
        found = shelf.study(study)
        return replies.Json(samples.page(found, query, origins(found)))

    @app.get("/api/studies/{study}/neighbours")
    def neighbours(study: str, query: Annotated[query_parameters.Neighbours, Query()]) -> Response:
        return replies.Json(samples.neighbours(shelf.study(study), query))

    @app.get("/api/studies/{study}/sample")
    def one(study: str, query: Annotated[query_parameters.Sample, Query()]) -> Response:
        found = shelf.study(study)
        model = samples.model_of(found, Selection(query.model or None).check(found))
        return replies.Json(Viewer(found, origins(found), model, query.set, query.row).view())

    @app.get("/api/studies/{study}/picture")
    def picture(study: str, query: Annotated[query_parameters.Item, Query()]) -> Response:
        found = shelf.study(study)
        content = sample.picture(origins(found), query.set, query.row)
        return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


def _add_progress(app: FastAPI, shelf: Shelf) -> None:
    @app.get("/api/studies/{study}/progress")
    def now(study: str) -> Response:
        return replies.Json(progress.progress(shelf.study(study)))

    @app.get("/api/studies/{study}/events")
    async def live(study: str) -> Response:
        found = await run_in_threadpool(shelf.study, study)
        told = progress.events(lambda: run_in_threadpool(progress.progress, found))
        return StreamingResponse(told, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
