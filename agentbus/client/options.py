"""What a client is made of: one frozen object, checked when it is made.

The key never stays here as text: it becomes a `Credential` at once, and a URL that the protocol refuses is
forgotten before anybody hears of it, for it may carry a secret too.
"""

from __future__ import annotations

import functools
import logging
import math
import ssl as tls
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypedDict

from msgspec import Struct
from msgspec.structs import force_setattr

from agentbus.client.credentials import Credential
from agentbus.errors import InvalidUrlError
from agentbus.protocol.backoff import ReconnectOptions
from agentbus.protocol.url import Origin, check_origin
from agentbus.wire.dial import dial
from agentbus.wire.transport import TransportFactory

TokenProvider = Callable[[], str | Awaitable[str]]
DEFAULT_URL = "wss://rms.metered.ca"


class SubscribeOptions(Struct, frozen=True):
    """How a channel is subscribed.

    Attributes:
        include_sender_metadata: whether messages carry their publisher's metadata.
        recover: whether what was published while the connection was away is asked for.
    """

    include_sender_metadata: bool = False
    recover: bool = True


class SignallingClientFields(TypedDict, total=False):
    """The fields of `SignallingClientOptions`, for `SignallingClient(**fields)`."""

    api_key: str | Credential | None
    token_provider: TokenProvider | None
    url: str
    logger: logging.Logger | None
    auto_reconnect: bool
    reconnect: ReconnectOptions
    inactivity_timeout: float
    token_provider_timeout: float
    auto_resubscribe: bool
    size_check: bool
    transport_factory: TransportFactory | None
    ssl: tls.SSLContext | None
    max_unsent_bytes: int
    max_pending_requests: int
    max_retried: int
    mailbox: bool


class SignallingClientOptions(Struct, frozen=True, kw_only=True):
    """Everything that can be set on a client.

    Attributes:
        api_key: a publishable key, or else give a `token_provider`; read back, it shows nothing.
        token_provider: gives a JWT, called for every attempt. A sync one runs on a thread of its own, an
            async one on the loop that awaited `connect()`.
        url: `wss://host[:port]`; `ws://` only for the loopback.
        logger: where the client logs; None = `logging.getLogger("agentbus.client")`.
        auto_reconnect: whether a lost connection is made anew.
        reconnect: how long to wait between attempts, and how many there are.
        inactivity_timeout: seconds of silence after which the connection counts as dead; 0 = never, no pings.
        token_provider_timeout: seconds that one call of the token provider may take; above 0.
        auto_resubscribe: whether a new connection gets the subscriptions of the last one.
        size_check: whether a frame over the hub's message size is refused before it is sent.
        transport_factory: makes the transports; None = TCP or TLS to `url`. See `agentbus.testing`.
        ssl: the TLS context, say one that trusts a private CA; None = the system's CAs.
        max_unsent_bytes: frames that wait for a congested connection; one more fails with `MailboxFullError`.
        max_pending_requests: requests that wait for their ack; one more fails with `MailboxFullError`.
        max_retried: messages with `retry=True` that are not acked, of `max_unsent_bytes` in all; likewise.
        mailbox: let what is sent to this peer while it is away wait for it, where the hub has mailboxes; only
            with a `token_provider`, whose tokens name the same peer each time.

    Raises:
        ValueError: not exactly one of `api_key` and `token_provider`, or a number that makes no sense.
        InvalidUrlError: a URL that the protocol refuses.
    """

    api_key: str | Credential | None = None
    token_provider: TokenProvider | None = None
    url: str = DEFAULT_URL
    logger: logging.Logger | None = None
    auto_reconnect: bool = True
    reconnect: ReconnectOptions = ReconnectOptions()
    inactivity_timeout: float = 60.0
    token_provider_timeout: float = 10.0
    auto_resubscribe: bool = True
    size_check: bool = True
    transport_factory: TransportFactory | None = None
    ssl: tls.SSLContext | None = None
    max_unsent_bytes: int = 16 * 1024 * 1024
    max_pending_requests: int = 65_536
    max_retried: int = 10_000
    mailbox: bool = False

    def __post_init__(self) -> None:
        """Check everything that can be checked without a network."""
        key_problem, url_problem = self._key_problem(), self._url_problem()
        self._hide_secrets(url_is_refused=url_problem is not None)
        if key_problem is not None:
            raise ValueError(key_problem)
        if url_problem is not None:
            raise InvalidUrlError(url_problem)
        self._check_numbers()

    def _hide_secrets(self, *, url_is_refused: bool) -> None:
        """Forget the key as text, and what is in the wrong place and may be one: tracebacks show fields."""
        force_setattr(self, "api_key", _hidden(self.api_key))
        if self.token_provider is not None and not callable(self.token_provider):
            force_setattr(self, "token_provider", None)
        if url_is_refused:
            force_setattr(self, "url", "<refused>")

    def _key_problem(self) -> str | None:
        if (self.api_key is None) == (self.token_provider is None):
            return "give a client exactly one of api_key and token_provider"
        if self.api_key is not None and _hidden(self.api_key) is None:
            return "api_key is a publishable key: a string that is not empty"
        if self.token_provider is not None and not callable(self.token_provider):
            return "token_provider is a function that returns a token"
        if self.mailbox and self.token_provider is None:
            return "a mailbox needs a token_provider: a client with an api_key is another peer each time"
        return None

    def _url_problem(self) -> str | None:
        try:
            check_origin(self.url)
        except InvalidUrlError as error:
            return error.problem
        return None

    def _check_numbers(self) -> None:
        if not (self.inactivity_timeout >= 0 and math.isfinite(self.inactivity_timeout)):
            raise ValueError("inactivity_timeout is a number of seconds, 0 to turn it off")
        if not (self.token_provider_timeout > 0 and math.isfinite(self.token_provider_timeout)):
            raise ValueError("token_provider_timeout is a number of seconds above 0")
        if min(self.max_unsent_bytes, self.max_pending_requests, self.max_retried) < 1:
            raise ValueError("max_unsent_bytes, max_pending_requests and max_retried are at least 1")

    @property
    def origin(self) -> Origin:
        """The checked `url`."""
        return check_origin(self.url)

    def dialler(self) -> TransportFactory:
        """Give what makes transports."""
        return self.transport_factory or functools.partial(dial, ssl=self.ssl)

    def __repr__(self) -> str:
        """Show what is harmless: a token provider may be a partial with a secret in it."""
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return f"SignallingClientOptions({', '.join(f'{name}={_shown(value)}' for name, value in fields)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("client options are not pickled: they would carry a secret along")


def _hidden(key: object) -> Credential | None:
    if isinstance(key, str) and key:
        return Credential.key(key)
    return key if isinstance(key, Credential) else None


def _shown(value: Any) -> str:
    if callable(value):
        return f"<{getattr(value, '__qualname__', type(value).__qualname__)}>"
    return repr(value)
