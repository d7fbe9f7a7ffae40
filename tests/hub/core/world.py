"""A hub with its surroundings faked: ids from a counter, time by hand, tokens from a table, inboxes."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec

from agentbus.errors import TokenError
from agentbus.hub.core import (
    AppConfig,
    Broadcast,
    CatchUp,
    Claims,
    Close,
    Command,
    ConnectRequest,
    HistoryStore,
    Hub,
    HubConfig,
    Instant,
    Limits,
    PublishableKey,
    SecretKey,
    Send,
    Session,
    UsageStore,
)

WALL = 1_750_000_000.0  # 2025-06-15, 15:06:40 UTC
KEY = "pk_live_all"


def app(**changes: Any) -> AppConfig:
    """Return an app with one key for everything, and one secret for everything."""
    fields: dict[str, Any] = {
        "id": "demo",
        "publishable_keys": (PublishableKey(key=KEY, channel_patterns=("**",)),),
        "secret_keys": (SecretKey(id="sk_id_all", secret="sk_secret_all"),),
    }
    return AppConfig(**(fields | changes))


class Client:
    """One connection and what it was sent."""

    def __init__(self, world: World, session: Session) -> None:
        self.world = world
        self.session = session
        self.inbox: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.close_code: int | None = None
        self.gone = False

    @property
    def peer_id(self) -> str:
        return self.session.peer_id

    def say(self, frame: dict[str, Any] | bytes) -> list[dict[str, Any]]:
        """Send a frame to the hub and take what came in since the last time."""
        payload = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        self.world.execute(self.world.hub.receive(self.session, payload, self.world.now))
        return self.take()

    def ask(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Send a request with an id; return its only answer, which must be the first frame to come."""
        self.take()
        frames = self.say({"type": kind, "requestId": "r", **fields})
        answers = [frame for frame in frames if frame.get("requestId") == "r"]
        assert len(answers) == 1
        self.inbox = [frame for frame in frames if frame is not answers[0]]
        return answers[0]

    def subscribe(self, channel: str, **options: Any) -> list[dict[str, Any]]:
        """Subscribe with an ack; return the other frames that came."""
        assert self.ask("subscribe", channel=channel, **options) == {"type": "ack", "requestId": "r"}
        return self.take()

    def take(self) -> list[dict[str, Any]]:
        """Return what came in since the last time."""
        frames, self.inbox, self.raw = self.inbox, [], []
        return frames

    def drop(self) -> None:
        """Lose the connection."""
        self.gone = True
        self.world.execute(self.world.hub.disconnect(self.session, self.world.now))


class World:
    """A hub, its clock, its clients."""

    def __init__(
        self,
        *apps: AppConfig,
        limits: Limits | None = None,
        usage_store: UsageStore | None = None,
        name: str = "peer",
        history_store: HistoryStore | None = None,
        life: str = "life-1",
        **config: Any,
    ) -> None:
        ids = itertools.count(1)
        self.tokens: dict[str, Claims] = {}
        self.now = Instant(monotonic=100.0, wall=WALL)
        self.hub = Hub(
            HubConfig(apps=apps or (app(),), limits=limits or Limits(messages_per_second=0), **config),
            new_id=lambda: f"{name}-{next(ids)}",
            verify=self._verify,
            usage_store=usage_store,
            history_store=history_store,
            life=life,
        )
        self.room = 1 << 20  # bytes that a session gets at a time of what it missed; 0 to wait for `feed`
        self.hungry: list[Session] = []

    def _verify(self, token: str) -> Claims:
        if token not in self.tokens:
            raise TokenError("unknown")
        return self.tokens[token]

    def token(self, subject: str, **claims: Any) -> str:
        """Make a token that is good for an hour."""
        name = f"token-{len(self.tokens)}"
        fields: dict[str, Any] = {"key_id": "sk_id_all", "expires_at": self.now.wall + 3600} | claims
        for key in ("metadata", "peer_metadata"):
            if key in fields:
                fields[key] = msgspec.Raw(json.dumps(fields[key]).encode())
        self.tokens[name] = Claims(subject=subject, **fields)
        return name

    def connect(self, key: str | None = None, token: str | None = None, origin: str | None = None) -> Client:
        """Connect and leave the `welcome` in the inbox."""
        session, commands = self.hub.connect(ConnectRequest(key=key, token=token, origin=origin), self.now)
        client = session.handle = Client(self, session)
        self.execute(commands)
        return client

    def join(self, *channels: str, peer: str | None = None, **claims: Any) -> Client:
        """Connect with the key, or with a token as `peer`; subscribe; throw away all frames so far."""
        client = self.connect(key=KEY) if peer is None else self.connect(token=self.token(peer, **claims))
        for channel in channels:
            client.subscribe(channel)
        client.take()
        return client

    def advance(self, seconds: float) -> None:
        """Let time pass, ticking at every deadline on the way."""
        end = self.now.monotonic + seconds
        while (deadline := self.hub.next_deadline()) is not None and deadline <= end:
            self._set(max(deadline, self.now.monotonic))
            self.execute(self.hub.tick(self.now))
        self._set(end)

    def _set(self, monotonic: float) -> None:
        self.now = Instant(monotonic, WALL + (monotonic - 100.0))

    def execute(self, commands: list[Command]) -> None:
        """Do what the hub says, as a shell would."""
        for command in commands:
            if isinstance(command, Send):
                _deliver(command.session, command.payload)
            elif isinstance(command, Broadcast):
                for session in command.sessions:
                    if session is not command.exclude:
                        _deliver(session, command.payload)
            elif isinstance(command, CatchUp):
                self.hungry.append(command.session)
            else:
                _close(command)
        if self.room:
            self.feed(self.room)

    def feed(self, room: int) -> None:
        """Give everybody who is behind a piece, as a shell does when there is room."""
        hungry, self.hungry = self.hungry, []
        for session in hungry:
            self.execute(self.hub.catch_up(session, room, self.now))


def _deliver(session: Session, payload: bytes) -> None:
    client: Client = session.handle
    assert not client.gone, "a frame after the end"
    client.raw.append(payload)
    client.inbox.append(json.loads(payload))


def _close(command: Close) -> None:
    client: Client = command.session.handle
    assert not client.gone, "a second close"
    client.gone = True
    assert not command.session.open
    client.close_code = int(command.code)
