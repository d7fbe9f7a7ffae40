"""Which envelopes overtake others on a link, and which wait while their recipient is full. Pure."""

from __future__ import annotations

from agentbus.agents.calls import Parcel
from agentbus.agents.deadlock.chain import cycle_at
from agentbus.agents.envelope import Kind

CONTROL_KINDS = frozenset(
    {
        Kind.ERROR,
        Kind.STOP,
        Kind.WATCH,
        Kind.UNWATCH,
        Kind.DOWN,
        Kind.PROBE,
        Kind.PROBED,
        Kind.CANCEL,
        Kind.CONTROL,
        Kind.CREDIT,
        Kind.HOLD,
        Kind.RELEASE,
    }
)
"""What goes out on the link's urgent lane."""

HELD_KINDS = frozenset({Kind.TELL, Kind.ASK, Kind.STREAM})
"""What waits at its sender while the recipient's mailbox is full.

Of what belongs to a stream nothing can come before its request: chunks wait for credit, and one that is
given up, or too late, is taken back where it waits."""


def held_for(parcel: Parcel) -> str | None:
    """Name the agent that a message waits for while it is full; an ask that comes back to it must not."""
    chain = parcel.headers.chain
    if parcel.kind not in HELD_KINDS or (chain and cycle_at(str(parcel.address), chain)):
        return None
    return parcel.address.agent
