"""What the invariants look at: the accounts of a run, and how the world was when it had come to rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from agentbus.client import SignallingClientState
from agentbus.testing.simulation.bus.letters import Handling, Letter, LifeLog
from agentbus.testing.simulation.client import SimulatedClient
from agentbus.testing.simulation.hub import APP
from agentbus.testing.simulation.plan import ClientSpec, Plan
from agentbus.testing.simulation.queues.history import History
from agentbus.testing.simulation.record import Call, Entry, HubEvent, SessionLog, Stalled
from agentbus.testing.simulation.stage import Stage

Peers = dict[str, Any]
"""Peer id → metadata."""


class QuietClient(msgspec.Struct, frozen=True):
    """A client at rest.

    Attributes:
        state: its state.
        peer_id: who it is, if it is connected.
        rosters: channel → the others there, for each tracked channel.
        heard: how many entries its account had.
    """

    state: SignallingClientState
    peer_id: str | None
    rosters: dict[str, Peers]
    heard: int


class QuietHub(msgspec.Struct, frozen=True):
    """The hub at rest.

    Attributes:
        subscriptions: number of an open session → its channels.
        peers: channel → who is there.
        handed: number of an open session → how many frames went into its buffer.
    """

    subscriptions: dict[int, frozenset[str]]
    peers: dict[str, Peers]
    handed: dict[int, int]


@dataclass(frozen=True)
class ClientAccount:
    """What one client and its program saw."""

    spec: ClientSpec
    entries: list[Entry]
    calls: list[Call]
    stalls: list[Stalled]

    def stalled(self, start: float, end: float) -> float:
        """Give the seconds for which its process may have stood still within a time."""
        return sum(max(0.0, min(end, each.until) - max(start, each.at)) for each in self.stalls)


@dataclass(frozen=True)
class Evidence:
    """All that a run left behind.

    Attributes:
        plan: what was played.
        clients: by name.
        events: the hub's account.
        sessions: all connections that the hub saw.
        quiet_clients: the clients at rest, by name.
        quiet_hub: the hub at rest.
        lives: of all nodes, in the order of their beginning.
        letters: what nodes sent, in the order of sending.
        handlings: what agents took up, in that order.
        stalls: when the process of a name stood still.
        quiet_nodes: the lives that went on when the world was at rest, and the nodes that each one knew.
        queue: what is told of the queue; None without one.
        quiet_at: when that was.
        leftovers: what had not ended after everybody had disposed of everything.
        failures: what was raised or logged as an error where nobody could catch it.
    """

    plan: Plan
    clients: dict[str, ClientAccount]
    events: list[HubEvent]
    sessions: list[SessionLog]
    quiet_clients: dict[str, QuietClient]
    quiet_hub: QuietHub
    lives: list[LifeLog]
    letters: list[Letter]
    handlings: list[Handling]
    stalls: dict[str, list[Stalled]]
    quiet_nodes: list[tuple[LifeLog, list[str]]]
    queue: History | None
    quiet_at: float
    leftovers: list[str]
    failures: list[str]


def look_at_clients(stage: Stage) -> dict[str, QuietClient]:
    """Take down how the clients are now."""
    return {name: _look_at(client) for name, client in stage.clients.items()}


def _look_at(simulated: SimulatedClient) -> QuietClient:
    client = simulated.client
    rosters = {
        channel: {peer.peer_id: peer.metadata for peer in client.roster(channel)}
        for channel in sorted(client.subscriptions)
    }
    return QuietClient(client.state, client.peer_id, rosters, len(simulated.entries))


def look_at_hub(stage: Stage) -> QuietHub:
    """Take down how the hub is now."""
    core = stage.hub.shell.core
    present = [(log, session) for session, log in core.logs.items() if session.open]
    channels = sorted({channel for _, session in present for channel in session.subscriptions})
    return QuietHub(
        subscriptions={log.number: frozenset(session.subscriptions) for log, session in present},
        peers={channel: dict(_peers(stage, channel)) for channel in channels},
        handed={log.number: len(log.handed) for log, _ in present},
    )


def _peers(stage: Stage, channel: str) -> Iterator[tuple[str, Any]]:
    for peer in stage.hub.shell.core.peers(APP, channel):
        yield peer.peer_id, None if peer.metadata is None else msgspec.json.decode(peer.metadata)


def look_at_nodes(stage: Stage) -> list[tuple[LifeLog, list[str]]]:
    """Take down whom each node knows now."""
    lives = [node.life for node in stage.nodes.values() if node.life is not None]
    return [(life.log, sorted(life.known())) for life in lives]


def look_for_leftovers(stage: Stage) -> list[str]:
    """List what is still there after the end."""
    left = [what for process in stage.processes() if not process.loop.killed for what in process.leftovers()]
    left += [f"connection {connection!r}" for connection in stage.connections()]
    core = stage.hub.shell.core
    if core.connections():
        left.append(f"{core.connections()} connections in the hub's books")
    if core.next_deadline() is not None:
        left.append(f"the hub's core waits for {core.next_deadline()}")
    if stage.hub.shell.handlers:
        left.append(f"{len(stage.hub.shell.handlers)} handlers in the hub's shell")
    return left
