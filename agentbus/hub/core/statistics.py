"""What operators read: totals since the hub was made, over all apps and of each."""

from __future__ import annotations

from collections import Counter


class Statistics:
    """Totals over all apps.

    Attributes:
        accepted: connections that got a welcome.
        published: accepted publishes.
        sent: accepted direct sends.
        delivered: messages and direct sends handed to connections: one publish to ten subscribers is ten.
        errors: error frames by code.
        closes: connections that the core closed, by close code.
    """

    __slots__ = ("accepted", "closes", "delivered", "errors", "published", "sent")

    def __init__(self) -> None:
        self.accepted = 0
        self.published = 0
        self.sent = 0
        self.delivered = 0
        self.errors: Counter[str] = Counter()
        self.closes: Counter[int] = Counter()


class AppStatistics:
    """Totals of one app, which its own people may see.

    Attributes:
        delivered: messages and direct sends handed to its connections.
        errors: error frames by code.
    """

    __slots__ = ("delivered", "errors")

    def __init__(self) -> None:
        self.delivered = 0
        self.errors: Counter[str] = Counter()
