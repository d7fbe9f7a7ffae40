"""What the control plane adds to the hub's HTTP side."""

from __future__ import annotations

from typing import NoReturn

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, NoMatchFound, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from agentbus.hub.core.config import SecretKey
from agentbus.hub.core.control import Control
from agentbus.hub.core.control_bodies import TokenBody
from agentbus.hub.server.rest.openapi import document
from agentbus.hub.server.rest.plane import ControlPlane
from agentbus.hub.server.shell import HubShell
from agentbus.hub.server.tokens import mint


def control_routes(shell: HubShell, control: Control | None = None) -> list[BaseRoute]:
    """Build the control plane of a hub: its calls, and the document that describes them.

    Args:
        shell: of the hub.
        control: its rules, where somebody else follows the same ones.
    """
    text = msgspec.json.encode(document())

    async def openapi(_request: Request) -> Response:
        return Response(text, media_type="application/json", headers={"Cache-Control": "max-age=300"})

    return [
        Route("/v1/openapi.json", openapi, methods=["GET"]),
        Under(b"/v1/", ControlPlane(shell, control or Control(shell.hub, sign))),
    ]


class Under(BaseRoute):
    """Leads all paths that begin alike to one application, by the path as it came.

    Starlette's own routes match the decoded path: `a%2Fb` would be two segments, and a line end none.
    """

    def __init__(self, prefix: bytes, app: ASGIApp) -> None:
        self._prefix = prefix
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Tell whether a request is for the application."""
        mine = scope["type"] == "http" and scope["raw_path"].startswith(self._prefix)
        return (Match.FULL if mine else Match.NONE), {}

    def url_path_for(self, name: str, /, **path_params: object) -> NoReturn:
        """Know no names."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self._app(scope, receive, send)


def sign(key: SecretKey, body: TokenBody, issued_at: int) -> str:
    """Sign what a caller asked for. Raises TokenError for claims that a hub refuses."""
    return mint(
        key.id,
        key.secret,
        subject=body.peer_id,
        issued_at=issued_at,
        lifetime=body.expires_in_sec,
        channels=None if body.channels is msgspec.UNSET else body.channels,
        permissions=None if body.permissions is msgspec.UNSET else body.permissions,
        metadata=body.metadata if len(body.metadata) else None,
        peer_metadata=body.peer_metadata if len(body.peer_metadata) else None,
    )
