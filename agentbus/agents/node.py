"""The node actor: `NodeCore`, and what the bus may tell it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from agentbus.agents.address import Address
from agentbus.agents.calls import Parcel
from agentbus.agents.directory import AgentEntry
from agentbus.agents.finder import Waiter
from agentbus.agents.message import Message
from agentbus.agents.node_core import NodeCore
from agentbus.agents.outcome import Outcome
from agentbus.agents.topics import Listener
from agentbus.agents.watching import AgentDown
from agentbus.errors import BusClosedError
from agentbus.runtime import Future, receives


class NodeActor(NodeCore):
    """What a node does for its bus."""

    class Listed(Struct, frozen=True):
        """An agent is there."""

        entry: AgentEntry

    class Unlisted(Struct, frozen=True):
        """An agent is gone."""

        name: str

    class WaitFor(Struct, frozen=True):
        """Somebody waits for agents to be there."""

        waiter: Waiter

    class WantStatuses(Struct, frozen=True):
        """Somebody wants to know how agents elsewhere are doing."""

    class Watch(Struct, frozen=True):
        """Somebody watches an agent of another node."""

        address: Address
        key: object
        callback: Callable[[AgentDown], object]

    class Unwatch(Struct, frozen=True):
        """Somebody watches no more."""

        address: Address
        key: object

    class Listen(Struct, frozen=True):
        """Somebody listens to a topic; `ready` is done once the hub knows."""

        topic: str
        key: object
        listener: Listener
        ready: Future[None]

    class Unlisten(Struct, frozen=True):
        """Somebody listens no more."""

        topic: str
        key: object

    class Broadcast(Struct, frozen=True):
        """A message for a topic."""

        topic: str
        message: Message
        body: msgspec.Raw
        sender: str | None
        sent: Future[None]

    class Certify(Struct, frozen=True):
        """A child process has ended: its node is dead."""

        node: str

    class Settle(Struct, frozen=True):
        """Somebody waits until nothing is on its way any more."""

        quiet: Future[None]

    class Leave(Struct, frozen=True):
        """Say goodbye, and end."""

    _waiting_for_quiet: tuple[Future[None], ...] = ()

    # -- messages --------------------------------------------------------------------------------------------

    @receives(Parcel)
    def on_parcel(self, parcel: Parcel) -> None:
        """Send a message to an agent of another node."""
        if parcel.version == 1 and not self._parts.negotiation.holds:
            self._parts.exchange.send(parcel)
        else:
            self._parts.negotiation.send(parcel)
        self._flush_soon()

    @receives(Broadcast)
    def on_broadcast(self, message: Broadcast) -> None:
        """Publish a message on its topic, and hand it to the listeners here."""
        self._parts.broadcasts.send(
            message.topic, message.message, message.body, message.sender, message.sent
        )
        self._flush_soon()

    @receives(Listen)
    def on_listen(self, message: Listen) -> None:
        """Enter a listener; the topic's first one has its channel subscribed."""
        self._parts.broadcasts.listen(message.topic, message.key, message.listener, message.ready)
        self._flush_soon()

    @receives(Unlisten)
    def on_unlisten(self, message: Unlisten) -> None:
        """Remove a listener; with the topic's last one its channel goes too."""
        self._parts.broadcasts.unlisten(message.topic, message.key)
        self._flush_soon()

    # -- agents ----------------------------------------------------------------------------------------------

    @receives(Listed)
    def on_listed(self, message: Listed) -> None:
        """Announce an agent."""
        self._parts.membership.host(message.entry)
        self._parts.waiters.look()
        self._flush_soon()

    @receives(Unlisted)
    def on_unlisted(self, message: Unlisted) -> None:
        """Announce that an agent is gone."""
        self._parts.membership.unhost(message.name)
        self._flush_soon()

    @receives(WaitFor)
    def on_wait_for(self, message: WaitFor) -> None:
        """Tell somebody once enough agents are there."""
        self._parts.waiters.add(message.waiter)

    @receives(WantStatuses)
    def on_want_statuses(self, _message: WantStatuses) -> None:
        """Tell the other nodes of our interest, unless they know."""
        self._parts.membership.statuses.want(self.clock.monotonic())
        self._flush_soon()

    @receives(Watch)
    def on_watch(self, message: Watch) -> None:
        """Watch an agent of another node."""
        self._parts.watching.watch(message.address, message.key, message.callback)
        self._flush_soon()

    @receives(Unwatch)
    def on_unwatch(self, message: Unwatch) -> None:
        """Watch it no more."""
        self._parts.watching.unwatch(message.address, message.key)
        self._flush_soon()

    @receives(Certify)
    def on_certify(self, message: Certify) -> None:
        """Declare a child process's node dead, here and everywhere."""
        self._parts.membership.certify_exit(message.node)
        self._flush_soon()

    # -- the end ---------------------------------------------------------------------------------------------

    @receives(Settle)
    def on_settle(self, message: Settle) -> None:
        """Tell somebody once nothing is on its way any more."""
        self._waiting_for_quiet += (message.quiet,)
        self._flush_soon()

    def flushed(self) -> None:
        """Look whether there is quiet."""
        if self._waiting_for_quiet and all(link.idle for link in self._parts.traffic.links()):
            waiting, self._waiting_for_quiet = self._waiting_for_quiet, ()
            for quiet in waiting:
                quiet.try_set(None)

    @receives(Leave)
    def on_leave(self, _message: Leave) -> None:
        """Say goodbye, and end."""
        self.end(None)

    def on_stop(self) -> None:
        """Leave nobody waiting, nor those who were as late as the end itself."""
        super().on_stop()
        for item in list(self.actor_ref.actor_inbox.items):
            _turn_away(item)


def _turn_away(item: Any) -> None:
    """Tell whoever sent something to a node that has ended."""
    match item:
        case Parcel(call=call) if call is not None:
            call.fail(BusClosedError(), Outcome.DEAD_LETTERED)
        case (
            NodeActor.WaitFor(waiter=Waiter(future=late))
            | NodeActor.Settle(quiet=late)
            | NodeActor.Broadcast(sent=late)
            | NodeActor.Listen(ready=late)
        ):
            late.try_set_exception(BusClosedError())
        case _:
            pass
