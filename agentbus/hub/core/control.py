"""The control plane's rules: who may call what, and what is answered. Spec section 8, *REST control plane*.

Checks are made in the order of the spec: shape of the request, validity of names, reserved prefix, permitted
action, authorized channel, `data` present, limit, quota. The shape of HTTP (path, length, type of a body) is
the shell's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from agentbus.errors import InvalidNameError, TokenError
from agentbus.hub.core.attempts import Attempts
from agentbus.hub.core.claims import MAX_PEER_METADATA_BYTES, check_metadata
from agentbus.hub.core.config import Action, SecretKey
from agentbus.hub.core.control_bodies import (
    Answer,
    KickAnswer,
    PeersAnswer,
    PublishAnswer,
    PublishBody,
    TokenAnswer,
    TokenBody,
    invalid,
    read_body,
    refuse,
)
from agentbus.hub.core.hub import Hub
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.keyring import Caller, Keyring
from agentbus.protocol import (
    ErrorCode,
    PresencePeer,
    check_asserted_peer_id,
    check_peer_id,
    covers,
)

MAX_TOKEN_BYTES = 32_000  # spec section 1: a request line of 32 KiB is what every hub takes


class TokenSigner(Protocol):
    """Signs the claims of a token; raises `TokenError` for those that a hub refuses."""

    def __call__(self, key: SecretKey, body: TokenBody, issued_at: int) -> str:
        """Return the token."""
        ...


class Control:
    """The calls of the control plane on one hub.

    Args:
        hub: whose apps and keys they are; it may be reconfigured.
        sign: signs tokens.
    """

    def __init__(self, hub: Hub, sign: TokenSigner) -> None:
        self._hub = hub
        self._sign = sign
        self._config = hub.config
        self._keyring = Keyring(hub.config.apps)
        self.attempts = Attempts(hub.config.limits.connects_per_minute_per_address)

    # -- who calls -----------------------------------------------------------------------------------------

    def enter(self, authorization: Sequence[bytes], address: str, now: Instant) -> Caller | Answer:
        """Find out who calls, or refuse: with one and the same answer for every kind of bad credential.

        Args:
            authorization: the values of all `Authorization` headers.
            address: where the request comes from.
            now: the time.
        """
        self._follow_configuration()
        if self._hub.closing:
            return refuse(503, "internal_error", "the hub is shutting down", retry_after=1.0)
        wait = self.attempts.wait(address, now.monotonic)
        if wait is not None:
            text = "too many bad credentials from this address: wait, and then show a good one"
            return refuse(429, "rate_limited", text, retry_after=wait)
        caller = self._keyring.identify(authorization)
        if caller is None:
            self.attempts.count(address, now.monotonic)
            return refuse(401, "unauthorized", "show a secret pair of this hub: Bearer sk_id_…:sk_secret_…")
        return caller

    def _follow_configuration(self) -> None:
        if self._hub.config is not self._config:
            self._config = self._hub.config
            self._keyring = Keyring(self._config.apps)
            self.attempts.allowed = self._config.limits.connects_per_minute_per_address

    # -- the calls -----------------------------------------------------------------------------------------

    def mint_token(self, caller: Caller, _target: str, body: bytes, now: Instant) -> Answer:
        """Sign a token that allows no more than the pair does."""
        wanted = read_body(body, TokenBody)
        if isinstance(wanted, Answer):
            return wanted
        try:
            check_asserted_peer_id(wanted.peer_id)
        except InvalidNameError as error:
            return invalid(f"peerId: {error.problem}")
        refused = _suspended(caller) or _beyond(caller, wanted)
        if refused is not None:
            return refused
        issued_at = int(now.wall)
        try:
            token = self._sign(caller.key, wanted, issued_at)
        except TokenError as error:
            return invalid(error.problem)
        if len(token) > MAX_TOKEN_BYTES:
            return invalid(f"the token would have more than {MAX_TOKEN_BYTES} bytes: give it fewer channels")
        return Answer(200, TokenAnswer(token, issued_at + wanted.expires_in_sec))

    def list_peers(self, caller: Caller, channel: str, _body: bytes, _now: Instant) -> Answer:
        """Tell who is in a channel."""
        refused = _forbidden(caller, "presence", channel)
        if refused is not None:
            return refused
        return Answer(200, PeersAnswer(channel, self._hub.peers(caller.app.id, channel)))

    def publish(self, caller: Caller, channel: str, body: bytes, now: Instant) -> Answer:
        """Publish a message that comes from no connection."""
        message = read_body(body, PublishBody)
        if isinstance(message, Answer):
            return message
        try:
            check_peer_id(message.sender)
            metadata = check_metadata("peerMetadata", message.peer_metadata, MAX_PEER_METADATA_BYTES)
        except InvalidNameError as error:
            return invalid(f"from: {error.problem}")
        except TokenError as error:
            return invalid(error.problem)
        return self._publish(caller, channel, message.data, PresencePeer(message.sender, metadata), now)

    def _publish(
        self, caller: Caller, channel: str, data: msgspec.Raw, sender: PresencePeer, now: Instant
    ) -> Answer:
        refused = _forbidden(caller, "publish", channel)
        if refused is not None:
            return refused
        if len(data) == 0:
            return invalid("data is missing; null would do")
        most = self._hub.config.limits.max_message_size
        if len(data) > most:
            return refuse(413, "invalid_request", f"data has more than the {most} bytes of a message")
        published = self._hub.publish(caller.app.id, channel, data, sender, now)
        if published is None:
            return self._over_quota(caller, now)
        return Answer(200, PublishAnswer(channel, published.delivered), published.commands)

    def _over_quota(self, caller: Caller, now: Instant) -> Answer:
        text = "the app has used up its messages of this month"
        wait = self._hub.usage(caller.app.id, now).period_end_unix - now.wall
        return refuse(429, ErrorCode.OVER_MESSAGE_QUOTA, text, retry_after=wait)

    def kick(self, caller: Caller, peer: str, _body: bytes, now: Instant) -> Answer:
        """Close all connections of one peer with 4020."""
        try:
            check_peer_id(peer)
        except InvalidNameError as error:
            return invalid(f"the peer id: {error.problem}")
        refused = _suspended(caller)
        if refused is not None:
            return refused
        closed = self._hub.connections_of(caller.app.id, peer)
        return Answer(200, KickAnswer(peer, closed), self._hub.disconnect_peer(caller.app.id, peer, now))

    def usage(self, caller: Caller, _target: str, _body: bytes, now: Instant) -> Answer:
        """Tell the app's live counters; a suspended app's, too."""
        return Answer(200, self._hub.usage(caller.app.id, now))


Call = Callable[[Control, Caller, str, bytes, Instant], Answer]
"""One of the calls: who calls, the channel or peer of its path, its body, the time."""


_STATUS: dict[str, tuple[int, str, str]] = {
    ErrorCode.INVALID_CHANNEL: (
        400,
        "invalid_request",
        "a channel name has 1 to 256 bytes of UTF-8 and no control characters",
    ),
    ErrorCode.CHANNEL_RESERVED: (400, "channel_reserved", "channels of this prefix belong to the hub"),
    ErrorCode.ACTION_NOT_PERMITTED: (403, "action_not_permitted", "this key does not permit the action"),
    ErrorCode.CHANNEL_NOT_AUTHORIZED: (403, "channel_not_authorized", "this key does not grant the channel"),
}


def _suspended(caller: Caller) -> Answer | None:
    if caller.app.suspended:
        return refuse(403, "action_not_permitted", "the app is suspended: ask whoever runs the hub")
    return None


def _forbidden(caller: Caller, action: Action, channel: str) -> Answer | None:
    code = caller.grant.refusal(action, channel)
    refused = None if code is None else refuse(*_STATUS[code])
    if refused is not None and refused.status == 400:
        return refused
    return _suspended(caller) or refused


def _beyond(caller: Caller, wanted: TokenBody) -> Answer | None:
    """Refuse what the key itself may not: a token never says more than it can do."""
    for action in wanted.permissions or ():
        if action not in caller.key.actions:
            return refuse(403, "action_not_permitted", f"permissions: this key does not permit {action}")
    for index, pattern in enumerate(wanted.channels or ()):
        if not any(covers(own, pattern) for own in caller.key.channel_patterns):
            text = f"channels[{index}]: this key does not grant all that the pattern matches"
            return refuse(403, "channel_not_authorized", text)
    return None
