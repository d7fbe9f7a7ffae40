"""What membership decides, carried out: who is told, which links begin and end. On the I/O loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentbus.agents.effects import Direct, FencedOff, Joined, NodeMoved, Refused, Spread
from agentbus.agents.envelope import Stamp
from agentbus.agents.events import (
    AgentsChanged,
    BusConnected,
    BusEvent,
    DeathReason,
    NodeBack,
    NodeDead,
    NodeReborn,
    NodeSuspect,
    NodeUp,
)
from agentbus.agents.node_parts import NodeParts
from agentbus.errors import AckTimeoutError, NodeTakenError
from agentbus.runtime import Future


class NodeEffects:
    """The hands of a node's membership.

    Args:
        parts: of the node.
        report: takes events.
        joined_once: done when the node has joined its namespace.
        new_id: makes the incarnations of new lives.
        end: ends the node, with an error.
        now: monotonic seconds.
    """

    def __init__(
        self,
        parts: NodeParts,
        report: Callable[[BusEvent], object],
        joined_once: Future[None],
        new_id: Callable[[], str],
        end: Callable[[Exception], object],
        now: Callable[[], float],
    ) -> None:
        self._parts = parts
        self._report = report
        self._joined_once = joined_once
        self._new_id = new_id
        self._now = now
        self._said: Future[None] | None = None
        self._hands: dict[type, Callable[[Any], object]] = {
            Spread: self.spread,
            Direct: lambda effect: parts.traffic.say(effect.message, effect.peer),
            Joined: lambda _effect: self._joined(),
            NodeMoved: lambda effect: parts.exchange.node_moved(effect.stamp),
            FencedOff: lambda _effect: self._begin_new_life(),
            Refused: lambda _effect: end(NodeTakenError(parts.membership.stamp.node)),
            NodeUp: self._node_up,
            NodeBack: self._node_back,
            NodeSuspect: report,
            NodeDead: self._node_dead,
            AgentsChanged: self._agents_changed,
        }

    def carry_out(self) -> None:
        """Carry out what was decided, and what that leads to."""
        while effects := self._parts.membership.take_effects():
            for effect in effects:
                self._hands[type(effect)](effect)

    def spread(self, effect: Spread) -> None:
        """Publish to all nodes; where that is not permitted, send to each."""
        grants = self._parts.uplink.grants
        if grants is None or grants.publish:
            self._said = effect.said or Future[None]().quiet()
            self._parts.traffic.say(effect.message, None, self._said)
            return
        for peer in sorted(self._parts.membership.liveness.roster):
            self._parts.traffic.say(effect.message, peer)
        if effect.said is not None:
            effect.said.try_set(None)

    def _joined(self) -> None:
        """Begin to work; the bus has started once the hub has passed on our introduction."""
        self._parts.exchange.joined()
        said = self._said
        if said is None or (said.done() and said.exception() is not None):
            self._announced()  # there is nobody to be told; what failed was said on a connection before this
        else:
            said.add_done_callback(self._announced)

    def _announced(self, said: Future[None] | None = None) -> None:
        error = None if said is None else said.exception()
        if error is None or isinstance(error, AckTimeoutError):  # late; all that we say comes after it
            self._report(BusConnected(reconnected=self._joined_once.done()))
            self._joined_once.try_set(None)

    def _begin_new_life(self) -> None:
        incarnation = self._new_id()
        self._parts.membership.begin_new_life(incarnation, self._now())
        self._parts.new_life()
        self._report(NodeReborn(self._parts.membership.stamp.node, incarnation))

    def _node_up(self, event: NodeUp) -> None:
        self._report(event)
        self._parts.exchange.node_up(Stamp(event.node, event.incarnation))

    def _node_back(self, event: NodeBack) -> None:
        self._report(event)
        self._parts.exchange.node_moved(Stamp(event.node, event.incarnation))

    def _node_dead(self, event: NodeDead) -> None:
        stamp = Stamp(event.node, event.incarnation)
        self._report(event)
        self._parts.exchange.lives.end(stamp, replaced=event.reason is DeathReason.REPLACED)
        self._parts.reception.node_dead(stamp)
        self._parts.streams.node_dead(stamp)
        self._parts.watching.node_down(event.node, event.reason)
        self._parts.negotiation.forget(event.node)

    def _agents_changed(self, event: AgentsChanged) -> None:
        self._report(event)
        self._parts.negotiation.forget(event.node)
        self._parts.waiters.look()
