"""The claims of a token with a good signature: their shape, sizes and times. Spec section 8, *JWT*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import msgspec

from agentbus.errors import InvalidNameError, TokenError
from agentbus.protocol import check_asserted_peer_id

LEEWAY = 5.0  # seconds for `nbf` and `iat`; `exp` is exact
MAX_METADATA_BYTES = 8192
MAX_PEER_METADATA_BYTES = 4096
MAX_TIME = 253_402_300_799  # the end of the year 9999: beyond it, a time is a mistake

_Time = Annotated[float, msgspec.Meta(ge=0, le=MAX_TIME)]


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says, its signature and its shape verified, its times not yet.

    Attributes:
        key_id: the secret key that signed it (`kid`).
        subject: the peer id.
        expires_at: Unix seconds, as are `not_before` and `issued_at`.
        channels: patterns, or None for all of the signing key's.
        permissions: actions, or None for all of the signing key's.
        metadata: a JSON object for the connection's own `welcome`.
        peer_metadata: a JSON object for the others.
    """

    key_id: str
    subject: str
    expires_at: float
    not_before: float = 0.0
    issued_at: float = 0.0
    channels: tuple[str, ...] | None = None
    permissions: frozenset[str] | None = None
    metadata: msgspec.Raw | None = None
    peer_metadata: msgspec.Raw | None = None


TokenVerifier: TypeAlias = Callable[[str], Claims]
"""Verify a token's signature and shape; raises `TokenError`."""


class _Payload(msgspec.Struct, rename="camel"):
    sub: str
    exp: _Time
    nbf: _Time = 0.0
    iat: _Time = 0.0
    channels: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    permissions: frozenset[str] | msgspec.UnsetType = msgspec.UNSET
    metadata: msgspec.Raw = msgspec.Raw()
    peer_metadata: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Payload)
_object_decoder = msgspec.json.Decoder(dict[str, Any])


def no_tokens(token: str) -> Claims:
    """Refuse every token: the verifier of a hub that knows publishable keys only."""
    del token  # it has the signature of every verifier
    raise TokenError("this hub takes no tokens")


def parse_claims(key_id: str, payload: bytes) -> Claims:
    """Read the payload of a token that `key_id` signed.

    Raises:
        TokenError: a claim is missing, malformed or too large.
    """
    try:
        claims = _decoder.decode(payload.decode())
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise TokenError("its claims are malformed") from None
    try:
        check_asserted_peer_id(claims.sub)
    except InvalidNameError as error:
        raise TokenError(f"`sub`: {error.problem}") from None
    return Claims(
        key_id=key_id,
        subject=claims.sub,
        expires_at=claims.exp,
        not_before=claims.nbf,
        issued_at=claims.iat,
        channels=None if claims.channels is msgspec.UNSET else claims.channels,
        permissions=None if claims.permissions is msgspec.UNSET else claims.permissions,
        metadata=check_metadata("metadata", claims.metadata, MAX_METADATA_BYTES),
        peer_metadata=check_metadata("peerMetadata", claims.peer_metadata, MAX_PEER_METADATA_BYTES),
    )


def check_times(claims: Claims, wall: float) -> None:
    """Check `exp`, `nbf` and `iat` against the time.

    Raises:
        TokenError: expired, or not valid yet.
    """
    if claims.not_before > wall + LEEWAY or claims.issued_at > wall + LEEWAY:
        raise TokenError("it is not valid yet")
    if wall >= claims.expires_at:
        raise TokenError("it has expired", expired=True)


def check_metadata(name: str, raw: msgspec.Raw, max_bytes: int) -> msgspec.Raw | None:
    """Return metadata that others may be sent, None where there is none (no bytes at all).

    Raises:
        TokenError: it is no JSON object, or has more than `max_bytes`.
    """
    if len(raw) == 0:
        return None
    if len(raw) > max_bytes:
        raise TokenError(f"`{name}` has more than {max_bytes} bytes")
    try:
        _object_decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        raise TokenError(f"`{name}` is no object") from None
    return raw.copy()
