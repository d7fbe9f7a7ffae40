"""What a hub is configured with: limits, apps and their keys.

Plain frozen structs, so that they can be written in code, or read from `hub.toml` by `hub.server.settings`,
which turns a violation into the file, the dotted key and the problem. Rules that hold for one value are in
its annotation (they apply when a file is read); rules between values are in `__post_init__`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Literal, TypeAlias

import msgspec

Action = Literal["publish", "subscribe", "presence", "send"]
ALL_ACTIONS: frozenset[Action] = frozenset(("publish", "subscribe", "presence", "send"))

NonNegative = Annotated[int, msgspec.Meta(ge=0)]
Positive = Annotated[int, msgspec.Meta(ge=1)]
APP_ID = r"^[A-Za-z0-9._-]{1,64}$"
PUBLISHABLE_KEY = r"^pk_[!-~]{1,253}$"
KEY_PAIR_ID = r"^sk_id_[!-9;-~]{1,122}$"  # no colon: REST calls authenticate with `id:secret`
AppId = Annotated[str, msgspec.Meta(pattern=APP_ID)]
PublishableKeyText = Annotated[str, msgspec.Meta(pattern=PUBLISHABLE_KEY)]
SecretKeyId = Annotated[str, msgspec.Meta(pattern=KEY_PAIR_ID)]
Secret = Annotated[str, msgspec.Meta(min_length=1)]


class ConfigStruct(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all configuration: frozen, keyword arguments only, unknown keys are errors."""


class Limits(ConfigStruct, frozen=True):
    """What the hub allows before it closes, refuses or delays. Spec section 8.

    Attributes:
        max_message_size: bytes of a payload, as told in `welcome`; a frame may be 1 KiB larger. Clients take
            frames of up to 1 MiB, metadata and names included: hence its upper limit.
        channels_per_connection: subscriptions of one connection.
        messages_per_second: sustained inbound frames of one connection; 0 turns the rate off.
        message_burst: frames that a rested connection may send at once.
        connects_per_minute_per_address: connects of one address within 60 s; 0 turns the rate off.
        max_backlog_bytes: unsent bytes of one connection before it is closed with 1013.
    """

    max_message_size: Annotated[int, msgspec.Meta(ge=128, le=1_000_000)] = 65536
    channels_per_connection: Positive = 100
    messages_per_second: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] = 100.0
    message_burst: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 200
    connects_per_minute_per_address: NonNegative = 60
    max_backlog_bytes: Annotated[int, msgspec.Meta(ge=1 << 16)] = 4 << 20


class PublishableKey(ConfigStruct, frozen=True):
    """A public key, which connects clients without a token. No `channel_patterns` is no channel (4003)."""

    key: PublishableKeyText
    channel_patterns: tuple[str, ...]
    actions: frozenset[Action] = ALL_ACTIONS
    allowed_origins: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tells it from the app's other keys: itself."""
        return self.key


class SecretKey(ConfigStruct, frozen=True):
    """A pair that signs tokens and authenticates REST calls; never a connect credential."""

    id: SecretKeyId
    secret: Secret
    channel_patterns: tuple[str, ...] = ("**",)
    actions: frozenset[Action] = ALL_ACTIONS

    @property
    def name(self) -> str:
        """What tells it from the app's other keys: its public half."""
        return self.id

    def __repr__(self) -> str:
        return f"SecretKey(id={self.id!r}, secret=<hidden>)"


Key: TypeAlias = PublishableKey | SecretKey
"""Whatever lets a connection in."""


class HistoryRule(ConfigStruct, frozen=True):
    """Channels of one app whose latest messages are kept for `recover.v1`, each by itself.

    Attributes:
        pattern: which channels.
        max_messages: of one channel.
        max_age: seconds for which a message is kept.
        max_bytes: of one channel: payloads, metadata of senders, and 256 bytes for each message.
    """

    pattern: Annotated[str, msgspec.Meta(min_length=1)]
    max_messages: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000
    max_age: Annotated[float, msgspec.Meta(gt=0, le=2_678_400)] = 300.0
    max_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)] = 1 << 20


class Mailboxes(ConfigStruct, frozen=True):
    """What waits for peers with a token that are away for a moment and follow their mailbox (`recover.v1`).

    Attributes:
        max_messages: that wait for one peer.
        max_age: seconds for which a message waits, and a mailbox without its peer lives.
        max_bytes: that wait for one peer, counted as in `HistoryRule`.
        max_peers: mailboxes of the app; beyond, a peer gets none.
    """

    max_messages: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 100
    max_age: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 60.0
    max_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1 << 26)] = 1 << 18
    max_peers: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 1000


class HistoryLimits(ConfigStruct, frozen=True):
    """What the histories of one app may hold together.

    Attributes:
        max_bytes: beyond, channels give up their oldest messages in turn.
        max_channels: beyond, the channel that was quiet longest is forgotten.
    """

    max_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 64 << 20
    max_channels: Positive = 10_000


class DedupeLimits(ConfigStruct, frozen=True):
    """What a hub remembers of the ids of requests (`dedupe.v1`).

    Attributes:
        window: seconds for which an id is remembered.
        max_ids: of one app; beyond, the oldest are forgotten sooner.
    """

    window: Annotated[float, msgspec.Meta(ge=60, le=3600)] = 120.0
    max_ids: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000


class AppConfig(ConfigStruct, frozen=True):
    """One app: a world of its own.

    Attributes:
        suspended: every connect ends with 4012.
        max_connections: concurrent connections; one more ends with 4010.
        max_messages_per_period: accepted publishes and sends per calendar month (UTC); 0 is no quota.
        history: which channels have one; of several rules that match, the first counts. None: no history.
        mailboxes: what waits for peers that are away; None: nothing does.
    """

    id: AppId
    suspended: bool = False
    max_connections: Positive = 1000
    max_messages_per_period: NonNegative = 0
    publishable_keys: tuple[PublishableKey, ...] = ()
    secret_keys: tuple[SecretKey, ...] = ()
    history: tuple[HistoryRule, ...] = ()
    mailboxes: Mailboxes | None = None

    @property
    def keys(self) -> tuple[Key, ...]:
        """All keys of both kinds."""
        return (*self.publishable_keys, *self.secret_keys)


class HubConfig(ConfigStruct, frozen=True):
    """Everything that the core is built from.

    Attributes:
        presence_delay: seconds for which presence deltas are gathered; at most 0.05. Spec section 4.
        extensions: what `welcome.extensions` offers to every app; `recover.v1` is offered to those that are
            configured for it. Spec section 9.
        history: what the histories of one app may hold together.
        dedupe: what is remembered of ids, where `dedupe.v1` is offered.
    """

    apps: tuple[AppConfig, ...] = ()
    limits: Limits = Limits()
    presence_delay: Annotated[float, msgspec.Meta(ge=0, le=0.05)] = 0.05
    extensions: tuple[str, ...] = ("limits.v1", "dedupe.v1")
    history: HistoryLimits = HistoryLimits()
    dedupe: DedupeLimits = DedupeLimits()

    def __post_init__(self) -> None:
        _check_unique("app id", (app.id for app in self.apps))
        _check_unique("publishable key", (key.key for app in self.apps for key in app.publishable_keys))
        _check_unique("secret key id", (key.id for app in self.apps for key in app.secret_keys))


def _check_unique(what: str, names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"the {what} {name!r} is given {count} times")
