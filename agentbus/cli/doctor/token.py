"""What can be seen of a token without its secret: whether a hub could take it at all."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from agentbus.cli.doctor.explain import SKEW_TOLERATED
from agentbus.cli.doctor.finding import Finding

_PARTS = 3


def inspect_token(token: str, now: float) -> Finding:
    """Check a JWT's shape and times; its signature is the hub's to check (spec section 8).

    Args:
        token: as it would be sent.
        now: Unix seconds.
    """
    parts = token.split(".")
    header, claims = (_decode(part) for part in parts[:2]) if len(parts) == _PARTS else (None, None)
    if header is None or claims is None:
        return _bad(
            "this is not a JWT: three parts of base64url, divided by dots", "mint one: agentbus token PEER"
        )
    return _header_problem(header) or _claims_problem(claims, now) or _good(claims, now)


def claims_of(token: str) -> dict[str, Any]:
    """Read what a JWT claims, unchecked; nothing if it is none."""
    parts = token.split(".")
    return (_decode(parts[1]) if len(parts) == _PARTS else None) or {}


def _header_problem(header: dict[str, Any]) -> Finding | None:
    if header.get("alg") != "HS256":
        return _bad(f"signed with {header.get('alg')!r}", "a hub takes HS256 alone")
    if not isinstance(header.get("kid"), str):
        return _bad("it names no signing key (kid)", "put the sk_id_... of the key into the header's kid")
    return None


def _claims_problem(claims: dict[str, Any], now: float) -> Finding | None:
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        return _bad("it names no peer (sub)", "put the peer's id into sub")
    expires = claims.get("exp")
    if not isinstance(expires, int | float):
        return _bad("it has no end (exp)", "put Unix seconds into exp")
    if expires <= now:
        ago = _duration(now - expires)
        return _bad(f"expired {ago} ago by this machine's clock", "mint a fresh one")
    for name in ("nbf", "iat"):
        start = claims.get(name)
        if isinstance(start, int | float) and start > now + SKEW_TOLERATED:
            return _bad(
                f"{name} is {_duration(start - now)} ahead of this machine's clock", "compare the clocks"
            )
    return None


def _good(claims: dict[str, Any], now: float) -> Finding:
    return Finding(
        "token", ok=True, fact=f"for peer {claims['sub']}, valid for {_duration(claims['exp'] - now)}"
    )


def _bad(fact: str, advice: str) -> Finding:
    return Finding("token", ok=False, fact=fact, advice=advice)


def _decode(part: str) -> dict[str, Any] | None:
    try:
        text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
        return msgspec.json.decode(text, type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return None


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
