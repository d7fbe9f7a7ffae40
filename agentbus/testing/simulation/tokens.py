"""Tokens without cryptography: a key id and the claims, in plain text. No real hub takes them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from agentbus.errors import TokenError
from agentbus.hub.core import Claims, parse_claims

KEY_ID: Final = "sk_id_sim"
FORGED_KEY_ID: Final = "sk_id_forged"
SECRET: Final = "nothing is signed with it"  # noqa: S105 -- as it says
PUBLISHABLE_KEY: Final = "pk_live_sim"


def mint(
    peer: str,
    expires_at: int,
    ticket: str,
    *,
    key_id: str = KEY_ID,
    channels: tuple[str, ...] | None = None,
    metadata: dict[str, Any] | None = None,
) -> str:
    """Make a token.

    Args:
        peer: its `sub`.
        expires_at: its `exp`, Unix seconds.
        ticket: what tells its connection from others; comes back as an ICE server in the welcome.
        key_id: who signed it.
        channels: patterns; None for all of the key's.
        metadata: what others see; None for the peer's name.
    """
    claims: dict[str, Any] = {
        "sub": peer,
        "exp": expires_at,
        "metadata": {"iceServers": [{"urls": ticket_url(ticket)}]},
        "peerMetadata": metadata or {"name": peer},
    }
    if channels is not None:
        claims["channels"] = channels
    return f"{key_id}~{msgspec.json.encode(claims).decode()}"


def verify(token: str) -> Claims:
    """Read a token; a `TokenVerifier`.

    Raises:
        TokenError: it is none.
    """
    key_id, mark, claims = token.partition("~")
    if not mark:
        raise TokenError("it is no token of the simulation")
    return parse_claims(key_id, claims.encode())


def ticket_url(ticket: str) -> str:
    """Give the ICE server that stands for a ticket."""
    return f"stun:{ticket}"


def ticket_of(claims: Claims) -> str:
    """Read the ticket out of a token's claims."""
    metadata = msgspec.json.decode(claims.metadata or b"{}")
    return str(metadata["iceServers"][0]["urls"]).removeprefix("stun:")
