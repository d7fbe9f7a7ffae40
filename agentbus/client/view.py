"""What any thread may read of a client: the only thing that its actors share.

Written on the I/O loop alone. Each attribute holds a value that never changes afterwards, or a dict that the
loop changes in place and that readers copy in one step; so a reader needs no lock.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from agentbus.client.capabilities import Capabilities
from agentbus.client.options import SubscribeOptions
from agentbus.client.producer import Producer
from agentbus.client.recovery import Recovery
from agentbus.client.roster import Roster
from agentbus.client.states import IDLE, SignallingClientState
from agentbus.runtime.mailbox import Mailbox
from agentbus.runtime.ref import LoopActorRef

if TYPE_CHECKING:
    from agentbus.client.connection import ConnectionActor
    from agentbus.client.events import ConnectedEvent


class ClientView:
    """A client, seen from outside.

    Args:
        random: the source of its names.

    Attributes:
        state: what a caller may expect.
        capabilities: what the hub of the latest connection offers.
        connection: the open connection's actor; None while there is none.
        inbox: its mailbox; a request costs one look at this.
        peer_id: who the hub takes this client for, while connected.
        max_message_size: bytes that the hub takes per message, while connected.
        tracked: the channels that a new connection gets, and the options of each.
        rosters: who is in a channel, as far as the hub told.
        recoveries: how far the messages of a channel have come, of channels that are recovered.
        producer: names this client and its messages, over all of its connections.
        connects: how many times the hub said welcome.
        frames_dropped: inbound frames that could not be used.
    """

    __slots__ = (
        "capabilities",
        "connection",
        "connects",
        "frames_dropped",
        "inbox",
        "max_message_size",
        "peer_id",
        "producer",
        "recoveries",
        "rosters",
        "state",
        "tracked",
    )

    def __init__(self, random: Random | None = None) -> None:
        self.producer = Producer(random or Random())
        self.capabilities = Capabilities()
        self.state: SignallingClientState = IDLE
        self.connection: LoopActorRef[ConnectionActor] | None = None
        self.inbox: Mailbox | None = None
        self.peer_id: str | None = None
        self.max_message_size: int | None = None
        self.tracked: dict[str, SubscribeOptions] = {}
        self.rosters: dict[str, Roster] = {}
        self.recoveries: dict[str, Recovery] = {}
        self.connects = 0
        self.frames_dropped = 0

    def connected(self, connection: LoopActorRef[ConnectionActor], event: ConnectedEvent) -> None:
        """Show the new connection."""
        self.peer_id = event.peer_id
        self.max_message_size = event.max_message_size
        self.connects += 1
        self.connection = connection
        self.inbox = connection.actor_inbox

    def disconnected(self) -> None:
        """Show that there is no connection that takes requests."""
        self.inbox = None
        self.connection = None
        self.peer_id = None
        self.max_message_size = None
