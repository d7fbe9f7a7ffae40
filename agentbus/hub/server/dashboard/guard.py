"""What keeps the dashboard to those who are signed in: headers, the cookie, where a form came from."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from agentbus.hub.server.addresses import TrustedProxies
from agentbus.hub.server.dashboard.sessions import LIFETIME

MOST_FORM_BYTES: Final = 8 * 1024

FORM_TYPE: Final = "application/x-www-form-urlencoded"

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing inline, nothing from anywhere else, and in nobody's frame."""

SECURITY_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

PRIVATE_HEADERS: Final = {**SECURITY_HEADERS, "Cache-Control": "no-store", "Vary": "Cookie"}


def is_encrypted(request: Request, trusted: TrustedProxies) -> bool:
    """Tell whether the browser's end of the connection is TLS: by itself, or by a trusted proxy's word."""
    if request.scope["scheme"] == "https":
        return True
    peer = request.client.host if request.client else ""
    return peer in trusted and request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"


def cookie_name(request: Request, trusted: TrustedProxies) -> str:
    """Name the cookie: by the port, as browsers give one to every port of a host; bound to it over TLS."""
    _, port = request.scope.get("server") or ("", None)
    name = f"agentbus-{port or 'hub'}"
    return f"__Host-{name}" if is_encrypted(request, trusted) else name


def set_cookie(response: Response, request: Request, trusted: TrustedProxies, value: str) -> None:
    """Give the browser its session; "" takes it away."""
    response.set_cookie(
        cookie_name(request, trusted),
        value,
        max_age=int(LIFETIME) if value else 0,
        path="/",
        httponly=True,
        samesite="strict",
        secure=is_encrypted(request, trusted),
    )


def comes_from_here(headers: Headers) -> bool:
    """Tell whether a form was sent from one of this hub's own pages, as far as the browser says."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("Origin")
    return origin is None or origin.lower().partition("://")[2] == headers.get("Host", "").lower()


async def read_form(request: Request) -> dict[str, str] | None:
    """Read a form; None for what is none, is too large, or names a field twice."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != FORM_TYPE:
        return None
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_FORM_BYTES:
            return None
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=10, errors="strict")
    except ValueError:
        return None
    fields = dict(pairs)
    return fields if len(fields) == len(pairs) else None
