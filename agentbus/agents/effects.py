"""What membership wants done or made known, in the order in which it decided it."""

from __future__ import annotations

import msgspec

from agentbus.agents.directory import DirectoryMessage
from agentbus.agents.envelope import Stamp
from agentbus.agents.events import BusEvent
from agentbus.runtime import Future


class Spread(msgspec.Struct, frozen=True):
    """To be sent to every node of the namespace.

    Attributes:
        message: what is said.
        said: done once the hub has passed it on; None if nobody waits for that.
    """

    message: DirectoryMessage
    said: Future[None] | None = None


class Direct(msgspec.Struct, frozen=True):
    """To be sent to one peer."""

    peer: str
    message: DirectoryMessage


class NodeMoved(msgspec.Struct, frozen=True):
    """A node has a new connection: what was on its way to it may be lost."""

    stamp: Stamp


class Joined(msgspec.Struct, frozen=True):
    """The node id is ours and the directory as complete as it gets."""


class Refused(msgspec.Struct, frozen=True):
    """The node id has another living holder."""


class FencedOff(msgspec.Struct, frozen=True):
    """This life was declared dead elsewhere: `begin_new_life` must be called."""


Effect = Spread | Direct | NodeMoved | Joined | Refused | FencedOff | BusEvent
