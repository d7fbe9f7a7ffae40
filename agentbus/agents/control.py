"""What people tell an agent past its mailbox, here or on another node: pause, resume, steer.

Between nodes it is one JSON object in the body of a CONTROL envelope:

    {"action": "pause"}    {"action": "steer", "type": "Hint", "version": 1, "message": {…}}
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentbus.agents.calls import type_and_version
from agentbus.agents.envelope import NOTHING, encode_body
from agentbus.agents.handlers import decode_reply
from agentbus.agents.hosted import Hosted, LocalAgent, all_of
from agentbus.errors import EncodeError, UndecodableMessageError
from agentbus.runtime import Future
from agentbus.runtime.cell import CellRef

PAUSE = "pause"
RESUME = "resume"
STEER = "steer"


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something to tell an agent.

    Attributes:
        action: what to do.
        message: for *steer*: what `on_control` gets; on the wire its JSON.
        type: the message's wire name; empty for a plain JSON value.
        version: its version.
    """

    action: str
    message: Any = None
    type: str = ""
    version: int = 1


class _WireOrder(msgspec.Struct, frozen=True):
    action: str
    message: msgspec.Raw = NOTHING
    type: str = ""
    version: int = 1


_decoder = msgspec.json.Decoder(_WireOrder)


def steer_order(message: Any) -> Order:
    """Make the order to steer by a message."""
    return Order(STEER, message, *type_and_version(message))


def encode_order(order: Order) -> msgspec.Raw:
    """Give the JSON of an order.

    Raises:
        EncodeError: its message has no JSON form.
    """
    try:
        return encode_body(order)
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"the message has no JSON form: {error}") from None


def decode_order(body: msgspec.Raw) -> Order:
    """Read what came over the wire.

    Raises:
        UndecodableMessageError: it is no order, or its message is of no type that this process knows.
    """
    try:
        wire = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableMessageError(f"not an order: {error}") from None
    if wire.action not in {PAUSE, RESUME, STEER}:
        raise UndecodableMessageError(f"this node knows no order {wire.action!r}")
    if wire.action != STEER:
        return Order(wire.action)
    message = decode_reply(wire.type, wire.version, wire.message, expected=None, near=None)
    return Order(STEER, message, wire.type, wire.version)


def carry_out(hosted: Hosted, order: Order) -> Future[bool]:
    """Tell an agent, or every replica of a group; the future says whether one of them has applied it."""
    if isinstance(hosted, LocalAgent):
        return Future.completed(value=False) if hosted.cell is None else _tell(hosted.cell, order)
    return all_of([carry_out(member, order) for member in hosted.members])


def _tell(cell: CellRef, order: Order) -> Future[bool]:
    if order.action == PAUSE:
        return cell.pause()
    return cell.resume() if order.action == RESUME else cell.steer(order.message)
