"""What a frame from the hub says to a node, and whether its sender is believed. Pure."""

from __future__ import annotations

import msgspec

from agentbus.agents.directory import DirectoryMessage, decode_bus_data
from agentbus.agents.envelope import Packet
from agentbus.agents.uplink import Echo, Relay
from agentbus.errors import UndecodableMessageError

_relay = msgspec.json.Decoder(Relay | Echo)


def read_frame(raw: bytes, own_peer: str) -> Packet | DirectoryMessage | Echo | None:
    """Read a frame's data; None if it is not for us, or no node's.

    Args:
        raw: its JSON.
        own_peer: our peer id: a relayed message is for one peer only.
    """
    try:
        return decode_bus_data(raw)
    except UndecodableMessageError:
        pass
    try:
        special = _relay.decode(raw)
        if isinstance(special, Echo):
            return special
        return decode_bus_data(special.data) if special.peer == own_peer else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UndecodableMessageError):
        return None
