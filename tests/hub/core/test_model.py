"""The hub against a naive model: random lives of sessions, every delivery predicted, nothing left behind.

The model keeps plain sets and recomputes everything. Rosters are checked as clients build them: from the
snapshot and the deltas of their own connection alone.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from agentbus.hub.core import Hub, Limits, PublishableKey
from tests.hub.core.world import Client, World, app

CHANNELS = ("a", "b", "c")
PEERS = ("alice", "bob")
BLIND = PublishableKey(
    key="pk_blind", channel_patterns=("**",), actions=frozenset(("subscribe", "publish", "send"))
)


class Believer:
    """What one connection knows: rosters from presence frames, payloads that came."""

    def __init__(self, client: Client, *, watches: bool) -> None:
        self.client = client
        self.watches = watches
        self.channels: dict[str, bool] = {}
        self.rosters: dict[str, dict[str, Any]] = {}
        self.received: list[Any] = []
        self.expected: list[Any] = []
        self.subscribing: str | None = None
        self.peer_id = client.peer_id
        self.metadata: Any = None

    def request(self, kind: str, **fields: Any) -> list[dict[str, Any]]:
        """Make a request and return its answers; a snapshot must follow the ack of a subscribe at once."""
        self.read()
        self.client.world.execute(
            self.client.world.hub.receive(
                self.client.session,
                json.dumps({"type": kind, "requestId": "r", **fields}).encode(),
                self.client.world.now,
            )
        )
        kinds = [frame["type"] for frame in self.client.inbox]
        if kind == "subscribe" and kinds[:1] == ["ack"] and self.watches:
            assert kinds[1] == "presence"
            self.rosters.pop(fields["channel"], None)
            self.subscribing = fields["channel"]
        answers = self.read()
        self.subscribing = None
        return answers

    def read(self) -> list[dict[str, Any]]:
        """Take in all frames; return the answers to requests."""
        answers: list[dict[str, Any]] = []
        for frame in self.client.take():
            if frame["type"] == "presence":
                self._believe(frame)
            elif frame["type"] in {"message", "direct"}:
                self.received.append(frame)
            else:
                answers.append(frame)
        return answers

    def _believe(self, frame: dict[str, Any]) -> None:
        assert self.watches
        assert frame["channel"] in self.channels or frame["channel"] == self.subscribing
        roster = self.rosters.setdefault(frame["channel"], {})
        for peer in frame["left"]:
            assert peer["peerId"] in roster, "left without having been there"
            del roster[peer["peerId"]]
        for peer in frame["joined"]:
            assert peer["peerId"] not in roster, "joined twice"
            assert peer["peerId"] != self.peer_id, "told of itself"
            roster[peer["peerId"]] = peer.get("metadata")


class HubModel(RuleBasedStateMachine):
    sessions: Bundle[Believer] = Bundle("sessions")

    @initialize()
    def begin(self) -> None:
        self.world = World(
            app(publishable_keys=(BLIND,), max_connections=50),
            limits=Limits(messages_per_second=0, channels_per_connection=2),
        )
        self.open: list[Believer] = []
        self.numbers = itertools.count()

    # -- lives -------------------------------------------------------------------------------------------

    @rule(
        target=sessions,
        peer=st.sampled_from(PEERS),
        version=st.integers(1, 2),
        lifetime=st.sampled_from((1.005, 3600.0)),  # no sum of waits ends within a rounding of its close
    )
    def connect(self, peer: str, version: int, lifetime: float) -> Any:
        token = self.world.token(
            peer, peer_metadata={"v": version}, expires_at=self.world.now.wall + lifetime
        )
        return self._admitted(self.world.connect(token=token), watches=True, metadata={"v": version})

    @rule(target=sessions)
    def connect_blind(self) -> Any:
        return self._admitted(self.world.connect(key="pk_blind"), watches=False, metadata=None)

    def _admitted(self, client: Client, *, watches: bool, metadata: Any) -> Any:
        if len(self.open) >= 50:
            assert client.close_code == 4010
            none: list[Believer] = []
            return multiple(*none)
        session = Believer(client, watches=watches)
        session.metadata = metadata
        [welcome] = session.read()
        assert welcome["peerId"] == session.peer_id
        self.open.append(session)
        return session

    @rule(session=consumes(sessions))
    def drop(self, session: Believer) -> None:
        session.client.drop()
        self._gone(session)

    @rule(peer=st.sampled_from(PEERS))
    def throw_out(self, peer: str) -> None:
        self.world.execute(self.world.hub.disconnect_peer("demo", peer, self.world.now))
        for session in [one for one in self.open if one.peer_id == peer]:
            assert session.client.close_code == 4020
            self._gone(session)

    def _gone(self, session: Believer) -> None:
        session.read()  # what came before the end was still right
        if session in self.open:
            self.open.remove(session)
            session.channels.clear()

    # -- requests ----------------------------------------------------------------------------------------

    @rule(session=sessions, channel=st.sampled_from(CHANNELS), asks=st.booleans())
    def subscribe(self, session: Believer, channel: str, asks: bool) -> None:
        answers = session.request("subscribe", channel=channel, includeSenderMetadata=asks)
        if session not in self.open:
            assert answers == []
        elif channel not in session.channels and len(session.channels) == 2:
            assert [answer.get("code") for answer in answers] == ["channel_limit_exceeded"]
        else:
            assert [answer["type"] for answer in answers] == ["ack"]
            session.channels[channel] = asks
            if session.watches:
                assert session.rosters[channel].keys() == self._peers_in(channel) - {session.peer_id}

    @rule(session=sessions, channel=st.sampled_from(CHANNELS))
    def unsubscribe(self, session: Believer, channel: str) -> None:
        answers = session.request("unsubscribe", channel=channel)
        assert [answer["type"] for answer in answers] == (["ack"] if session in self.open else [])
        session.channels.pop(channel, None)
        session.rosters.pop(channel, None)

    @rule(session=sessions, channel=st.sampled_from(CHANNELS))
    def publish(self, session: Believer, channel: str) -> None:
        number = next(self.numbers)
        if session in self.open:
            for other in self.open:
                if other is not session and channel in other.channels:
                    told = other.channels[channel] and session.metadata
                    frame = {"type": "message", "channel": channel, "from": session.peer_id, "data": number}
                    other.expected.append(frame | ({"fromMetadata": session.metadata} if told else {}))
        answers = session.request("publish", channel=channel, data=number)
        assert [answer["type"] for answer in answers] == (["ack"] if session in self.open else [])

    @rule(session=sessions, to=st.sampled_from(PEERS))
    def send(self, session: Believer, to: str) -> None:
        number = next(self.numbers)
        receivers = [one for one in self.open if one.peer_id == to] if session in self.open else []
        for receiver in receivers:
            frame = {"type": "direct", "from": session.peer_id, "data": number}
            receiver.expected.append(frame | ({"fromMetadata": session.metadata} if session.metadata else {}))
        answers = session.request("send", to=to, data=number)
        if session in self.open:
            assert [answer.get("code", "ack") for answer in answers] == [
                "ack" if receivers else "peer_not_found"
            ]

    # -- time --------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from((0.01, 0.05, 0.3, 2.0)))
    def wait(self, seconds: float) -> None:
        self.world.advance(seconds)
        for session in [one for one in self.open if one.client.close_code is not None]:
            assert session.client.close_code == 4002
            self._gone(session)
        if seconds >= 0.05:
            for session in self.open:
                session.read()
                for channel in session.channels if session.watches else ():
                    assert session.rosters[channel] == self._roster(channel, session.peer_id)

    # -- what must hold ----------------------------------------------------------------------------------

    def _peers_in(self, channel: str) -> set[str]:
        return {one.peer_id for one in self.open if channel in one.channels}

    def _roster(self, channel: str, but: str) -> dict[str, Any]:
        known = {peer.peer_id: peer.metadata for peer in self.world.hub.peers("demo", channel)}
        assert known.keys() == self._peers_in(channel)
        return {
            name: metadata and json.loads(bytes(metadata)) for name, metadata in known.items() if name != but
        }

    @invariant()
    def every_delivery_was_predicted(self) -> None:
        for session in self.open:
            session.read()
            assert session.received == session.expected

    @invariant()
    def connections_are_counted(self) -> None:
        assert self.world.hub.connections() == len(self.open)

    def teardown(self) -> None:
        for session in list(self.open):
            session.client.drop()
        assert left_behind(self.world.hub) == []
        self.world.advance(3600)
        assert self.world.hub.next_deadline() is None


def left_behind(hub: Hub) -> list[str]:
    """Name whatever a hub without connections still holds of them."""
    inside: Any = hub  # a leak hides in private state
    apps = inside._apps.values()
    held = {
        "peers": sum(len(one.peers) for one in apps),
        "channels": sum(len(one.channels) for one in apps),
        "connections": hub.connections(),
        "expiry": len(inside._expiry),
        "presence": len(inside._presence),
    }
    return [name for name, count in held.items() if count]


def test_random_lives_match_the_model() -> None:
    run_state_machine_as_test(
        HubModel,
        settings=settings(
            max_examples=200,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
