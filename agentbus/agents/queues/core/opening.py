"""What a queue does with what its store holds."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import msgspec

from agentbus.agents.queues.core.book import FORGOTTEN_NOTE, Book
from agentbus.agents.queues.core.flows import Flows
from agentbus.agents.queues.core.leases import Leases
from agentbus.agents.queues.core.record import LIVE, Job, decode_head
from agentbus.agents.queues.stores.store import Opened

SLICE = 1000
"""Jobs that are taken over at a time: a few milliseconds, in which the loop of the host does nothing else."""


def restoring(
    opened: Opened, book: Book, leases: Leases, flows: Flows, now: float, at: float
) -> Iterator[None]:
    """Take over all jobs, slice by slice; every lease gets a full duration.

    Args:
        opened: what the store holds.
        book: takes the jobs.
        leases: takes the leases.
        flows: takes the flows.
        now: monotonic seconds.
        at: the queue's time.
    """
    note = opened.notes.get(FORGOTTEN_NOTE)
    book.forgotten = 0.0 if note is None else msgspec.json.decode(note, type=float)
    over: list[Job] = []
    under_way: list[Job] = []
    for count, record in enumerate(opened.records, 1):
        job = decode_head(record.head)
        job.type, job.tenant = sys.intern(job.type), sys.intern(job.tenant)
        book.enter(job, at)
        leases.restore(job, now)
        if job.state in LIVE:
            under_way += [job] if job.flow else []
        else:
            over.append(job)
        if count % SLICE == 0:
            yield
    yield from _order_kept(book, over)
    for count, flow in enumerate(under_way, 1):
        flows.follow(flow)
        if count % SLICE == 0:
            yield


def _order_kept(book: Book, over: list[Job]) -> Iterator[None]:
    """Put what is over in the order in which it ended, each flow with its steps."""
    book.results.clear()
    book.dead.clear()
    for count, job in enumerate(sorted(over, key=lambda each: each.ended), 1):
        book.ended[job.number] = None
        if not job.parent:
            book.keep(job)
        if count % SLICE == 0:
            yield
