"""What a hub offers beyond the common protocol."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from agentbus.protocol.extensions import DEDUPE_EXTENSION, RECOVER_EXTENSION
from agentbus.protocol.limits import LIMITS_EXTENSION

USABLE: Final = frozenset((RECOVER_EXTENSION, DEDUPE_EXTENSION, LIMITS_EXTENSION))
"""The extensions that this client makes use of."""


class Capabilities(Struct, frozen=True):
    """What the hub of the latest connection offers; nothing before the first one.

    Attributes:
        offered: names of extensions, also of those that this client does not know.
    """

    offered: frozenset[str] = frozenset()

    @property
    def missing(self) -> frozenset[str]:
        """What this client could use and does not get."""
        return USABLE - self.offered

    @property
    def recover(self) -> bool:
        """Whether a channel with a history gives what was missed over a reconnect."""
        return RECOVER_EXTENSION in self.offered

    @property
    def dedupe(self) -> bool:
        """Whether `publish(…, retry=True)` and `send(…, retry=True)` work."""
        return DEDUPE_EXTENSION in self.offered

    @property
    def limits(self) -> bool:
        """Whether the hub tells its limits, so that the pace is right."""
        return LIMITS_EXTENSION in self.offered
