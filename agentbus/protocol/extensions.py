"""What the extensions `recover.v1` and `dedupe.v1` add to frames. Spec section 9, and `docs/protocol.md`."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

RECOVER_EXTENSION: Final = "recover.v1"
DEDUPE_EXTENSION: Final = "dedupe.v1"

MAILBOX_CHANNEL: Final = "_system/direct"
"""What a peer subscribes to in order to follow its mailbox."""

ShortText = Annotated[str, Meta(min_length=1, max_length=64)]
Offset = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class Position(Struct, frozen=True, gc=False):
    """A place in a channel's history.

    Attributes:
        epoch: the life of the history that `offset` belongs to.
        offset: the number of a message, from 1; 0 is before the first.
    """

    epoch: ShortText
    offset: Offset


class DedupeTerms(Struct, frozen=True, gc=False):
    """`welcome.dedupe`: how long a repeated id is recognised.

    Attributes:
        epoch: one life of the hub's memory of ids.
        window: seconds for which an id is remembered.
    """

    epoch: ShortText
    window: Annotated[float, Meta(ge=0)]
