"""The hub as one state machine: what happens goes in with its time, what is to be done comes out as commands.

It holds no socket, reads no clock and draws no chance. A shell calls it from one thread, executes the
commands of each call in their order before the next call, and wakes it with `tick` at `next_deadline`. An
open session lives from `connect` until its `Close` command or `disconnect`; after that the hub holds no
reference to it, and further calls for it do nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec
from msgspec.structs import replace

from agentbus.errors import FrameDecodeError
from agentbus.hub.core.access import Grant
from agentbus.hub.core.admission import Admission, ConnectRequest, Gate
from agentbus.hub.core.app import App
from agentbus.hub.core.claims import TokenVerifier, no_tokens
from agentbus.hub.core.cluster import Cluster, ClusterTimes, Home
from agentbus.hub.core.commands import CLOSE_REASONS, Broadcast, Close, Command, Send
from agentbus.hub.core.config import AppConfig, HubConfig, Limits
from agentbus.hub.core.equipment import equip
from agentbus.hub.core.expiry import ExpiryQueue
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.limits import ConnectRate, Strikes, TokenBucket
from agentbus.hub.core.presence import PresenceSchedule
from agentbus.hub.core.quotas import Ledger, UsageStore
from agentbus.hub.core.reconfigure import HUB_FIELDS, Verdicts, taken_up
from agentbus.hub.core.recovery import catch_up
from agentbus.hub.core.requests import Requests
from agentbus.hub.core.session import Session
from agentbus.hub.core.statistics import Statistics
from agentbus.hub.core.stored import HistoryStore
from agentbus.hub.core.usage import Published, Usage, usage_of
from agentbus.hub.core.welcome import encode_welcome
from agentbus.protocol import (
    CloseCode,
    ErrorCode,
    GoingAway,
    Ping,
    PresencePeer,
    Publish,
    Subscribe,
    Unsubscribe,
    decode_client_frame,
    encode,
)
from agentbus.protocol import Send as SendFrame

FRAME_OVERHEAD_BYTES = 1024  # spec section 5, 1009: room for the frame around a payload of `maxMessageSize`
# seconds lost between the two clocks; without it a tick may come a hair too early for ever
WALL_ROUNDING = 0.001
EXPIRY_LEAD = 0.25  # seconds before `exp` at which a connection is closed


class Hub:
    """Spec sections 1 to 6 and 8, for all apps of one hub.

    Args:
        config: apps, limits, extensions.
        verify: checks a token's signature and shape; by default every token is refused.
        new_id: gives a fresh UUID text for the peer id of each publishable-key connection.
        usage_store: keeps the message counts over restarts; None forgets them.
        history_store: keeps histories over restarts; None forgets them.
        life: names this life of the hub, and no other; by default a fresh id.

    Attributes:
        config: as given, or as it was reconfigured last.
        statistics: totals for operators.
        max_frame_bytes: a larger text frame is closed with 1009; a shell may refuse it earlier. It holds for
            connections to come: one that is open keeps what it was told.
        cluster: the other hubs, once this one has joined them.
    """

    def __init__(
        self,
        config: HubConfig,
        *,
        new_id: Callable[[], str],
        verify: TokenVerifier = no_tokens,
        usage_store: UsageStore | None = None,
        history_store: HistoryStore | None = None,
        life: str | None = None,
    ) -> None:
        self.config = config
        self.statistics = Statistics()
        self.max_frame_bytes = config.limits.max_message_size + FRAME_OVERHEAD_BYTES
        self.cluster: Cluster | None = None
        self._new_id = new_id
        self._verify = verify
        self._ledger = Ledger(usage_store)
        self._life = new_id() if life is None else life
        self._history_store = history_store
        self._reloads = 0
        self._apps = {app.id: self._open(app) for app in config.apps}
        self._nowhere = App(AppConfig(id="-"), self._ledger.open_meter(AppConfig(id="-")))
        self._gate = Gate(self._apps.values(), verify)
        self._connect_rate = ConnectRate(config.limits.connects_per_minute_per_address)
        self._expiry: ExpiryQueue[Session] = ExpiryQueue()
        self._presence = PresenceSchedule(config.presence_delay)
        self._wall_offset = 0.0
        self._closing = False
        self._requests = Requests(config.limits, self._presence, self.statistics)
        self._methods: dict[type, Callable[[Session, Any, Instant], list[Command]]] = {
            Subscribe: self._requests.on_subscribe,
            Unsubscribe: self._requests.on_unsubscribe,
            Publish: self._requests.on_publish,
            SendFrame: self._requests.on_send,
            Ping: self._requests.on_ping,
        }

    # -- other hubs ----------------------------------------------------------------------------------------

    def join(
        self, name: str, life: str, *, on_waiting: Callable[[], object], times: ClusterTimes | None = None
    ) -> Cluster:
        """Become one with other hubs of the same configuration; see `Cluster` for the arguments."""
        home = Home(self._apps, self._presence, self._requests.refuse, self._disconnect_here, self.statistics)
        self.cluster = Cluster(home, name=name, life=life, on_waiting=on_waiting, times=times)
        return self.cluster

    # -- a connection's life -------------------------------------------------------------------------------

    def allow_connect(self, address: str, now: Instant) -> float | None:
        """Count a connect of `address`; return None, or the seconds until it may try again (HTTP 429)."""
        return self._connect_rate.allow(address, now.monotonic)

    def connect(self, request: ConnectRequest, now: Instant) -> tuple[Session, list[Command]]:
        """Let a connection in with a `welcome`, or refuse it with a close code and no `welcome`."""
        self._wall_offset = now.wall - now.monotonic
        admission = CloseCode.GOING_AWAY if self._closing else self._gate.admit(request, now)
        if isinstance(admission, CloseCode):
            return self._turn_away(admission)
        session = self._let_in(admission, now)
        return session, [Send(session, encode_welcome(self.config, session, admission, now, self._life))]

    def receive(self, session: Session, payload: bytes, now: Instant) -> list[Command]:
        """Answer one whole text frame."""
        if not session.open:
            return []
        if now.wall >= session.close_at:
            return self._close(session, CloseCode.TOKEN_EXPIRED, now)
        if len(payload) > session.max_frame_bytes:
            return self._close(session, CloseCode.MESSAGE_TOO_BIG, now)
        if session.bucket is not None and not session.bucket.take(now.monotonic):
            return self._close(session, CloseCode.OVER_MESSAGE_RATE, now)
        try:
            frame = decode_client_frame(payload)
        except FrameDecodeError as error:
            return self._unusable(session, error, now)
        return self._methods[type(frame)](session, frame, now)

    def receive_binary(self, session: Session, now: Instant) -> list[Command]:
        """Answer a binary frame, which is never right. Spec section 1."""
        if not session.open:
            return []
        return self._unusable(
            session, FrameDecodeError(ErrorCode.MALFORMED_MESSAGE, "binary frames are not part of it"), now
        )

    def disconnect(self, session: Session, now: Instant) -> list[Command]:
        """Forget a connection that has ended, however it ended; idempotent."""
        return self._forget(session, now) if session.open else []

    def catch_up(self, session: Session, room: int, now: Instant) -> list[Command]:
        """Give a session more of what it missed, about `room` bytes: see `CatchUp`."""
        if not session.open:
            return []
        commands = catch_up(session, room)
        return self._close(session, CloseCode.TRY_AGAIN_LATER, now) if commands is None else commands

    # -- time ----------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return the monotonic time at which `tick` has something to do, None if there is no such time.

        Any other call may change the answer.
        """
        due = self._presence.next_due()
        saving = self._ledger.due
        if saving is not None and (due is None or saving < due):
            due = saving
        expiry = self._expiry.next_at()
        if expiry is not None and (due is None or expiry - self._wall_offset < due):
            due = expiry - self._wall_offset
        if self.cluster is not None:
            others = self.cluster.next_deadline()
            if others is not None and (due is None or others < due):
                due = others
        return due

    def tick(self, now: Instant) -> list[Command]:
        """Do what is due: close expired tokens' connections, send presence deltas, save the usage."""
        self._wall_offset = now.wall - now.monotonic
        commands: list[Command] = []
        for session in self._expiry.pop_due(now.wall + WALL_ROUNDING):
            commands += self._close(session, CloseCode.TOKEN_EXPIRED, now)
        commands += self._presence.flush_due(now.monotonic)
        if self._ledger.due is not None and self._ledger.due <= now.monotonic:
            self._ledger.save()
        if self.cluster is not None:
            commands += self.cluster.tick(now)
        return commands

    def shutdown(self, now: Instant, retry_after: float) -> list[Command]:
        """Announce the end to everyone, close everyone with 1001, and let nobody in any more.

        Args:
            now: the time.
            retry_after: seconds after which clients are told to come back.
        """
        self._closing = True
        self._wall_offset = now.wall - now.monotonic
        sessions = tuple(session for app in self._apps.values() for session in app.sessions())
        commands: list[Command] = []
        if sessions:
            commands.append(Broadcast(sessions, encode(GoingAway(retry_after_ms=int(retry_after * 1000)))))
        commands += [self._closed(session, CloseCode.GOING_AWAY) for session in sessions]
        self._forget_all()
        self._ledger.save()
        return commands

    # -- administration ------------------------------------------------------------------------------------

    def disconnect_peer(self, app: str, peer: str, now: Instant) -> list[Command]:
        """Close all connections of one peer with 4020, at all hubs. Raises KeyError for an unknown app."""
        if self.cluster is not None:
            self.cluster.kick(app, peer)
        return self._disconnect_here(app, peer, now)

    def _disconnect_here(self, app: str, peer: str, now: Instant) -> list[Command]:
        commands: list[Command] = []
        for session in self._apps[app].peers.get(peer, ()):
            commands += self._close(session, CloseCode.ADMIN_DISCONNECT, now)
        return commands

    def connections_of(self, app: str, peer: str) -> int:
        """Count a peer's connections, over all hubs. Raises KeyError for an unknown app."""
        return self._apps[app].connections_of(peer)

    def peers(self, app: str, channel: str) -> list[PresencePeer]:
        """Return who is in a channel, in the order of joining. Raises KeyError for an unknown app."""
        known = self._apps[app].channels.get(channel)
        return [] if known is None else known.roster.peers()

    def publish(
        self, app: str, channel: str, data: msgspec.Raw, sender: PresencePeer, now: Instant
    ) -> Published | None:
        """Publish from outside any connection: `data` is JSON, the caller has checked the right to do so.

        Returns:
            To how many connections it goes, at all hubs, as far as this one knows, and the commands; None
            where the message quota is used up.

        Raises:
            KeyError: no such app.
        """
        if not self._apps[app].meter.take_message(now):
            return None
        self.statistics.published += 1
        history, known = self._apps[app].history, self._apps[app].channels.get(channel)
        entry = None if history is None else history.record(channel, sender, data, None, now.wall)
        if known is None:
            return Published(0, [])
        messages = known.message(sender, data, entry=entry)
        delivered = sum(len(message.sessions) for message in messages)
        self.statistics.delivered += delivered
        self._apps[app].statistics.delivered += delivered
        if self.cluster is not None and known.elsewhere:
            delivered += self.cluster.publish(self._apps[app], channel, sender, data, known.elsewhere) or 0
        return Published(delivered, [*messages])

    def usage(self, app: str, now: Instant) -> Usage:
        """Return an app's live counters. Raises KeyError for an unknown app."""
        return usage_of(self._apps[app].meter, self._apps[app].config, now)

    def apps(self) -> Collection[App]:
        """Return every app, for operators: to be read only."""
        return self._apps.values()

    def connections(self) -> int:
        """Return how many connections are open, over all apps."""
        return sum(app.meter.concurrent for app in self._apps.values())

    @property
    def closing(self) -> bool:
        """Whether it is shutting down: nobody gets in."""
        return self._closing

    # -- another configuration -----------------------------------------------------------------------------

    def reconfigure(self, config: HubConfig, now: Instant) -> list[Command]:
        """Go on with other apps, keys and limits, and close whom they do not let in: see `reconfigure`.

        Args:
            config: its `apps` and `limits`; all else stays as it was at the start.
            now: the time.
        """
        if self._closing:
            return []
        self._reloads += 1
        self._take_limits(config.limits)
        self.config = replace(self.config, **{name: getattr(config, name) for name in HUB_FIELDS})
        verdicts = Verdicts(config.apps)
        commands: list[Command] = []
        for session in [session for app in self._apps.values() for session in app.sessions()]:
            code = verdicts.on(session)
            if code is not None:
                commands += self._close(session, code, now)
        self._take_apps(config.apps)
        if self.cluster is not None:
            self.cluster.reconfigured(now)
        return commands

    def _take_limits(self, limits: Limits) -> None:
        allowed = limits.connects_per_minute_per_address
        if allowed != self.config.limits.connects_per_minute_per_address:
            self._connect_rate = ConnectRate(allowed)
        self.max_frame_bytes = limits.max_message_size + FRAME_OVERHEAD_BYTES
        self._requests.limits = limits

    def _take_apps(self, configs: tuple[AppConfig, ...]) -> None:
        before = dict(self._apps)
        self._apps.clear()  # the dict itself stays: others may hold it
        for config in configs:
            app = before.pop(config.id, None) or self._open(config)
            app.config = taken_up(app.config, config)
            app.meter.limit(config.max_messages_per_period)
            self._apps[config.id] = app
        for gone in before.values():
            self._ledger.retire(gone.meter)
        self._gate = Gate(self._apps.values(), self._verify)

    def _open(self, config: AppConfig) -> App:
        app = App(config, self._ledger.open_meter(config))
        life = f"{self._life}.{self._reloads}" if self._reloads else self._life  # no epoch is given twice
        equip(app, self.config, life, self._history_store)
        return app

    # -- how a connection begins and ends ------------------------------------------------------------------

    def _let_in(self, admission: Admission, now: Instant) -> Session:
        peer_id = admission.peer_id if admission.peer_id is not None else self._new_id()
        session = Session(
            admission.app, PresencePeer(peer_id, admission.peer_metadata), admission.grant, admission.identity
        )
        session.key = admission.key
        session.max_frame_bytes = self.max_frame_bytes
        limits = self.config.limits
        if limits.messages_per_second > 0:
            session.bucket = TokenBucket(limits.messages_per_second, limits.message_burst, now.monotonic)
        if admission.expires_at is not None:
            session.close_at = admission.expires_at - EXPIRY_LEAD
            self._expiry.add(session, session.close_at)
        admission.app.add(session, now)
        self.statistics.accepted += 1
        return session

    def _turn_away(self, code: CloseCode) -> tuple[Session, list[Command]]:
        session = Session(self._nowhere, PresencePeer(""), Grant(frozenset(), ()))
        return session, [self._closed(session, code)]

    def _unusable(self, session: Session, error: FrameDecodeError, now: Instant) -> list[Command]:
        if error.code == ErrorCode.MALFORMED_MESSAGE:
            session.strikes = session.strikes or Strikes()
            if session.strikes.add(now.monotonic):
                return self._close(session, CloseCode.POLICY_VIOLATION, now)
        return self._requests.refuse(session, error.code, error.request_id, error.problem)

    def _close(self, session: Session, code: CloseCode, now: Instant) -> list[Command]:
        forgotten = self._forget(session, now)
        return [self._closed(session, code), *forgotten]

    def _closed(self, session: Session, code: CloseCode) -> Close:
        session.open = False
        self.statistics.closes[code] += 1
        return Close(session, code, CLOSE_REASONS[code])

    def _forget(self, session: Session, now: Instant) -> list[Command]:
        session.open = False
        self._expiry.discard(session)
        session.app.remove(session)
        if session.app.post is not None:
            session.app.post.left(session, now.wall)
        commands: list[Command] = []
        for channel in list(session.subscriptions.values()):
            session.app.leave(session, channel)
            commands += self._presence.changed(channel, now.monotonic)
        return commands

    def _forget_all(self) -> None:
        for app in self._apps.values():
            for session in app.sessions():
                session.subscriptions.clear()
            app.clear()
        self._expiry.clear()
        self._presence.clear()
