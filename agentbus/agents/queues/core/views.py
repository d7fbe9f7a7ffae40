"""`Views`: a queue as people see it."""

from __future__ import annotations

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.job import QueueStats
from agentbus.agents.queues.core.leases import Leases


class Views:
    """Looks at a queue.

    Args:
        book: its jobs.
        leases: its leases.
    """

    def __init__(self, book: Book, leases: Leases) -> None:
        self._book = book
        self._leases = leases

    def stats(self, at: float) -> QueueStats:
        """Count what is there.

        Args:
            at: the queue's time.
        """
        book, counts = self._book, self._book.counts
        oldest = book.ready.oldest()
        return QueueStats(
            book.name,
            queued=len(book.ready),
            delayed=len(book.delayed),
            leased=counts["leased"],
            waiting=counts["waiting"],
            done=counts["done"],
            dead=counts["failed"] + counts["rejected"],
            bytes=book.bytes,
            workers=len(self._leases.fleet),
            oldest=0.0 if oldest is None else max(0.0, at - book.jobs[oldest].put),
        )
