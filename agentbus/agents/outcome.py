"""What becomes of a message: exactly one of four things.

So *sent = delivered + expired + dead-lettered + unknown* holds at any moment when nothing is on its way.
"""

from __future__ import annotations

import enum


class Outcome(enum.StrEnum):
    """The fate of one `tell` or `ask`. A stable word each: they go over the wire and into logs."""

    DELIVERED = "delivered"
    """The handler took it and finished."""
    EXPIRED = "expired"
    """Its deadline passed before a handler started on it; or an ask's asker gave it up before the reply."""
    DEAD_LETTERED = "dead-lettered"
    """No such agent, undecodable, no handler, mailbox full, or the handler failed: see the dead letter."""
    UNKNOWN = "unknown"
    """The other incarnation is gone and its word never came: it may or may not have been handled."""
