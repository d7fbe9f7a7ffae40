"""What a queue does with what its store holds."""

from __future__ import annotations

import sys

from agentbus.agents.queues.core.book import Book
from agentbus.agents.queues.core.flows import Flows
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.record import LIVE, decode_head
from agentbus.agents.queues.stores.store import Opened


def restore(opened: Opened, book: Book, leases: Leases, flows: Flows, now: float, at: float) -> None:
    """Take over all jobs; every lease gets a full duration.

    Args:
        opened: what the store holds.
        book: takes the jobs.
        leases: takes the leases.
        flows: takes the flows.
        now: monotonic seconds.
        at: the queue's time.
    """
    over: list[int] = []
    for record in opened.records:
        job = decode_head(record.head)
        job.type, job.tenant = sys.intern(job.type), sys.intern(job.tenant)
        book.enter(job, at)
        leases.restore(job, now)
        if job.state not in LIVE and not job.parent:
            over.append(job.number)
    _order_kept(book, over)
    for job in book.jobs.values():
        if job.flow and job.state in LIVE:
            flows.follow(job)


def _order_kept(book: Book, over: list[int]) -> None:
    """Put what is over in the order in which it ended, each flow with its steps."""
    book.results.clear()
    book.dead.clear()
    for number in sorted(over, key=lambda each: book.jobs[each].ended):
        book.keep(book.jobs[number])
