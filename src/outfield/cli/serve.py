from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from outfield.cli._plain import say


def serve(
    studies: Annotated[
        Path, Argument(help="The folder that holds the results of studies, or of one; or a guard's audit log.")
    ] = Path("results"),
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="Port to listen on.")] = 8642,
    token: Annotated[str | None, Option(help="What a caller must show; made and printed where one is needed.")] = None,
) -> None:
    """Look at studies, or at a guard's audit log, in a browser: displays, rows and samples, read-only."""
    from outfield.cli._extras import need

    need("fastapi", "uvicorn", extra="serve")
    from outfield.dashboard import server

    server.serve(studies, host, port, token, say)
