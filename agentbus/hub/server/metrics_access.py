"""Who may read `/metrics`: this machine, and whoever has the token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from agentbus.hub.server.addresses import TrustedProxies, parse_address
from agentbus.hub.server.metrics import CONTENT_TYPE, HubMetrics

FORWARDING_HEADERS = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
"""What a proxy adds; with one of them, a connection from this machine may be anybody's."""

SCHEME = "bearer "


def metrics_route(metrics: HubMetrics, trusted: TrustedProxies, token: str) -> Route:
    """Build `GET /metrics`.

    It is open to callers on this machine, over loopback or a unix socket, unless a proxy stands in between.
    All others need `Authorization: Bearer TOKEN`. They are about every app: an app's keys open nothing here.

    Args:
        metrics: what is told.
        trusted: proxies whose word about a caller's address is taken.
        token: "" where there is none: then nobody else gets in.
    """
    return Route("/metrics", _endpoint(metrics, trusted, token), methods=["GET"])


def _endpoint(
    metrics: HubMetrics, trusted: TrustedProxies, token: str
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if is_local(request, trusted) or has_token(request, token):
            return Response(metrics.page(), media_type=CONTENT_TYPE)
        if token:
            return PlainTextResponse("unauthorized\n", 401, {"WWW-Authenticate": "Bearer"})
        return PlainTextResponse("metrics are for this machine, or for who has server.metrics_token\n", 403)

    return endpoint


def is_local(request: Request, trusted: TrustedProxies) -> bool:
    """Tell whether a request comes from this machine, through no proxy but trusted ones."""
    peer = request.client.host if request.client else ""
    forwarded = request.headers.getlist("X-Forwarded-For")
    if forwarded and peer in trusted:
        return _is_loopback(trusted.client(peer, forwarded))
    return _is_loopback(peer) and not any(header in request.headers for header in FORWARDING_HEADERS)


def has_token(request: Request, token: str) -> bool:
    """Compare the bearer token in constant time."""
    given = request.headers.get("Authorization", "")
    if not token or not given.lower().startswith(SCHEME):
        return False
    return hmac.compare_digest(given[len(SCHEME) :].strip().encode(), token.encode())


def _is_loopback(address: str) -> bool:
    if not address:
        return True  # a unix socket
    parsed = parse_address(address)
    return parsed is not None and parsed.is_loopback
