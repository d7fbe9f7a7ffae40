"""What the hub answers over plain HTTP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

BACKPLANE_AWAY = "the backplane is away: this hub serves its own clients alone"


@dataclass
class Readiness:
    """Whether the hub takes clients right now.

    Attributes:
        backplane: tells whether other hubs can be reached, or there are none to be.
        ready: see above.
    """

    backplane: Callable[[], bool] = lambda: True
    ready: bool = False

    @property
    def text(self) -> str:
        """What is said to who asks."""
        if not self.ready:
            return "not ready\n"
        return "ready\n" if self.backplane() else f"ready; {BACKPLANE_AWAY}\n"


def make_app(readiness: Readiness, more: Sequence[BaseRoute] = ()) -> Starlette:
    """Build the HTTP side: `/healthz` (the process is up), `/readyz` (it accepts clients), and more."""

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse(readiness.text, status_code=200 if readiness.ready else 503)

    async def upgrade_needed(_request: Request) -> Response:
        body = {
            "error": "invalid_request",
            "message": "this is a WebSocket endpoint; connect with ws:// or wss://",
        }
        return JSONResponse(body, status_code=426, headers={"Upgrade": "websocket"})

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/v1", upgrade_needed), *more],
        exception_handlers={HTTPException: _as_json},
    )


async def _as_json(_request: Request, error: Exception) -> Response:
    """Answer 404 and 405 in the shape of every other error. Spec section 8."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    code, text = _REFUSALS.get(status, ("invalid_request", "the request can't be answered"))
    return JSONResponse({"error": code, "message": text}, status_code=status, headers=headers)


_REFUSALS = {
    404: ("not_found", "there is no such path"),
    405: ("method_not_allowed", "this path takes other methods, which `Allow` lists"),
}
