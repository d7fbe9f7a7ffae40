"""Whose call a REST call is: the secret pair in its `Authorization` header. Spec section 8."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence

import msgspec

from agentbus.hub.core.access import Grant, compile_patterns
from agentbus.hub.core.config import AppConfig, SecretKey

SCHEME = b"bearer"


class Caller(msgspec.Struct, frozen=True):
    """Who calls, known by a good secret pair.

    Attributes:
        app: the app that the pair belongs to.
        key: the pair.
        grant: the pair's own actions and channels, which bound what it may call.
    """

    app: AppConfig
    key: SecretKey
    grant: Grant

    @classmethod
    def of(cls, app: AppConfig, key: SecretKey) -> Caller:
        """Make the caller that holds a pair."""
        return cls(app, key, Grant(key.actions, compile_patterns(key.channel_patterns)))


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()  # so that a comparison says nothing of the length either


_NOBODY: tuple[bytes, Caller | None] = (_digest(b""), None)


class Keyring:
    """Knows every secret pair of every app.

    Args:
        apps: whose pairs are taken.
    """

    def __init__(self, apps: Iterable[AppConfig]) -> None:
        self._callers: dict[bytes, tuple[bytes, Caller | None]] = {
            key.id.encode(): (
                _digest(key.secret.encode(errors="surrogateescape")),
                Caller.of(app, key),
            )
            for app in apps
            for key in app.secret_keys
        }

    def identify(self, authorization: Sequence[bytes]) -> Caller | None:
        """Find out who calls.

        All kinds of bad credential take the same steps: a digest of what was given and one comparison, in
        constant time, with the secret of the pair that was named, or with nobody's.

        Args:
            authorization: the values of all `Authorization` headers of the request.

        Returns:
            The caller; None for a credential that is missing, malformed, repeated, unknown or wrong.
        """
        key_id, secret = _read(authorization)
        expected, caller = self._callers.get(key_id, _NOBODY)
        return caller if hmac.compare_digest(_digest(secret), expected) else None


def _read(authorization: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Take `Bearer ID:SECRET` apart; an id has no colon, a secret may have some."""
    if len(authorization) != 1:
        return b"", b""
    scheme, _, credential = authorization[0].strip().partition(b" ")
    if scheme.lower() != SCHEME:
        return b"", b""
    key_id, _, secret = credential.strip().partition(b":")
    return key_id, secret
