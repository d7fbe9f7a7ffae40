"""Who is let in: a credential becomes an admission, or the close code that refuses it. Spec section 8."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from agentbus.errors import TokenError
from agentbus.hub.core.access import Grant, compile_patterns
from agentbus.hub.core.app import App
from agentbus.hub.core.claims import Claims, TokenVerifier, check_times
from agentbus.hub.core.config import ALL_ACTIONS, Key, PublishableKey, SecretKey
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.session import TOKEN_OF
from agentbus.protocol import CloseCode

KEY_GRANT_MEMORY = 4096  # channels; all connections of a publishable key share its grant


class ConnectRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a client shows when it connects.

    Attributes:
        key: the decoded value of the query's `key`, if there is one.
        token: the same of `token`.
        origin: the `Origin` header, if there is one.
        address: where it comes from, behind trusted proxies too.
    """

    key: str | None = None
    token: str | None = None
    origin: str | None = None
    address: str = ""

    def __repr__(self) -> str:
        return f"ConnectRequest(address={self.address!r}, origin={self.origin!r}, <credential hidden>)"


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """What an accepted credential gives its connection.

    Attributes:
        key: the publishable key, or the secret key that signed the token.
        identity: the credential over all its connections: the key, or the peer that a token names.
        peer_id: the one that a token asserts; None for a key, which gets a fresh one.
        expires_at: Unix seconds of the token's `exp`; None for a key.
        metadata: for this connection's `welcome`.
        peer_metadata: for the others.
    """

    app: App
    key: Key
    grant: Grant
    identity: str
    peer_id: str | None = None
    expires_at: float | None = None
    metadata: msgspec.Raw | None = None
    peer_metadata: msgspec.Raw | None = None


class _KnownKey:
    def __init__(self, app: App, key: PublishableKey) -> None:
        self.app = app
        self.key = key
        self.origins = frozenset(_normal_origin(origin) for origin in key.allowed_origins)
        self.grant = Grant(key.actions, compile_patterns(key.channel_patterns), memory=KEY_GRANT_MEMORY)


class _KnownSecret:
    def __init__(self, app: App, key: SecretKey) -> None:
        self.app = app
        self.key = key
        self.actions = key.actions
        self.patterns = compile_patterns(key.channel_patterns)


class Gate:
    """Knows every key of every app."""

    def __init__(self, apps: Iterable[App], verify: TokenVerifier) -> None:
        self._verify = verify
        self._keys: dict[str, _KnownKey] = {}
        self._secrets: dict[str, _KnownSecret] = {}
        for app in apps:
            self._keys.update({key.key: _KnownKey(app, key) for key in app.config.publishable_keys})
            self._secrets.update({key.id: _KnownSecret(app, key) for key in app.config.secret_keys})

    def admit(self, request: ConnectRequest, now: Instant) -> Admission | CloseCode:
        """Decide about one connection: the credential, then the app's state, then its room."""
        admission = self._identify(request, now)
        if isinstance(admission, CloseCode):
            return admission
        app = admission.app
        if app.config.suspended:
            return CloseCode.ACCOUNT_SUSPENDED
        if admission.grant.is_empty:
            return CloseCode.CHANNEL_NOT_AUTHORIZED
        if app.meter.concurrent + app.meter.concurrent_elsewhere >= app.config.max_connections:
            return CloseCode.OVER_CONCURRENT_LIMIT
        return admission

    def _identify(self, request: ConnectRequest, now: Instant) -> Admission | CloseCode:
        if request.token is not None and request.key is None:
            return self._by_token(request.token, now)
        if request.key is not None and request.token is None:
            return self._by_key(request.key, request.origin)
        return CloseCode.INVALID_TOKEN

    def _by_key(self, key: str, origin: str | None) -> Admission | CloseCode:
        known = self._keys.get(key)
        if known is None:
            return CloseCode.INVALID_TOKEN
        if known.origins and origin is not None and _normal_origin(origin) not in known.origins:
            return CloseCode.INVALID_TOKEN
        return Admission(app=known.app, key=known.key, grant=known.grant, identity=key)

    def _by_token(self, token: str, now: Instant) -> Admission | CloseCode:
        try:
            claims = self._verify(token)
            check_times(claims, now.wall)
            return self._by_claims(claims)
        except TokenError as error:
            return CloseCode.TOKEN_EXPIRED if error.expired else CloseCode.INVALID_TOKEN

    def _by_claims(self, claims: Claims) -> Admission | CloseCode:
        known = self._secrets.get(claims.key_id)
        if known is None:
            return CloseCode.INVALID_TOKEN
        return Admission(
            app=known.app,
            key=known.key,
            grant=_token_grant(known, claims),
            identity=f"{TOKEN_OF}{claims.subject}",
            peer_id=claims.subject,
            expires_at=claims.expires_at,
            metadata=claims.metadata,
            peer_metadata=claims.peer_metadata,
        )


def _token_grant(known: _KnownSecret, claims: Claims) -> Grant:
    """Grant what both the claims and the signing key allow."""
    permissions = ALL_ACTIONS if claims.permissions is None else claims.permissions
    actions = known.actions & permissions
    if claims.channels is None:
        return Grant(actions, known.patterns)
    return Grant(actions, known.patterns, compile_patterns(claims.channels))


def _normal_origin(origin: str) -> str:
    return origin.rstrip("/").lower()
