"""JWTs: sign them, verify them; HS256 only. The one module that knows PyJWT (extra `hub`). Spec section 8.

A token's times are not checked here: the core does that against the time that it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jwt
import msgspec
from jwt.algorithms import HMACAlgorithm
from jwt.api_jws import PyJWS

from agentbus.errors import TokenError
from agentbus.hub.core import Claims, HubConfig, parse_claims

ALGORITHM = "HS256"


class _HS256(HMACAlgorithm):
    """PyJWT warns of a short secret at every use; `settings` does so once, when it is read."""

    def __init__(self) -> None:
        super().__init__(HMACAlgorithm.SHA256)

    def check_key_length(self, key: Any) -> None:
        """Accept every length."""


def _only_hs256() -> PyJWS:
    jws = PyJWS(algorithms=[])
    jws.register_algorithm(ALGORITHM, _HS256())
    return jws


_jws = _only_hs256()


class TokenKeys:
    """The secrets of a hub, and what they signed.

    Args:
        secrets: signing secret by its public id, which a token names as its `kid`.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = dict(secrets)

    def __repr__(self) -> str:
        return f"TokenKeys({sorted(self._secrets)})"

    def take(self, config: HubConfig) -> None:
        """Know the secrets of another configuration instead."""
        self._secrets = _secrets_of(config)

    @classmethod
    def of(cls, config: HubConfig) -> TokenKeys:
        """Take the secrets of every app."""
        return cls(_secrets_of(config))

    def verify(self, token: str) -> Claims:
        """Check a token's signature, in constant time, and read its claims.

        Raises:
            TokenError: no JWT, another algorithm, an unknown key, a forged signature, malformed claims.
        """
        try:
            key_id = _jws.get_unverified_header(token).get("kid")
            secret = self._secrets.get(key_id) if isinstance(key_id, str) else None
            if secret is not None and key_id is not None:
                return parse_claims(key_id, _jws.decode(token, secret, algorithms=[ALGORITHM]))
        except (jwt.PyJWTError, UnicodeEncodeError, RecursionError):  # the last one from older PyJWTs
            raise TokenError("it is malformed, forged, or not HS256") from None
        raise TokenError("its `kid` names no secret key of this hub")


def _secrets_of(config: HubConfig) -> dict[str, str]:
    return {key.id: key.secret for app in config.apps for key in app.secret_keys}


def mint(
    key_id: str,
    secret: str,
    *,
    subject: str,
    issued_at: float,
    lifetime: float = 3600.0,
    channels: Iterable[str] | None = None,
    permissions: Iterable[str] | None = None,
    metadata: Mapping[str, Any] | msgspec.Raw | None = None,
    peer_metadata: Mapping[str, Any] | msgspec.Raw | None = None,
) -> str:
    """Sign a token that a hub with this secret pair accepts.

    Args:
        key_id: public half of the pair, `sk_id_…`.
        secret: the other half.
        subject: the peer id, 1 to 128 printable ASCII characters.
        issued_at: Unix seconds, now.
        lifetime: seconds until it expires.
        channels: patterns; None is all that the key grants.
        permissions: actions; None is all that the key grants.
        metadata: a JSON object for the connection's own `welcome`, at most 8 KiB; or its JSON text.
        peer_metadata: a JSON object that other peers see, at most 4 KiB.

    Raises:
        TokenError: a hub would refuse these claims.
    """
    claims: dict[str, Any] = {"sub": subject, "iat": int(issued_at), "exp": int(issued_at + lifetime)}
    options = {
        "channels": None if channels is None else list(channels),
        "permissions": None if permissions is None else list(permissions),
        "metadata": metadata,
        "peerMetadata": peer_metadata,
    }
    claims |= {name: value for name, value in options.items() if value is not None}
    payload = msgspec.json.encode(claims)
    parse_claims(key_id, payload)
    return _jws.encode(payload, secret, algorithm=ALGORITHM, headers={"kid": key_id})
