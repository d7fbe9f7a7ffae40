"""What workers are asked by people and by the programs that run them."""

from __future__ import annotations

from agentbus.agents.message import Message, Request


class WorkerReport(Message, wire_name="agentbus.queue.WorkerReport"):
    """How a worker is.

    Attributes:
        queue: name of its queue.
        slots: jobs that it could take at a time.
        running: handlers at work.
        over: attempts whose end the queue has taken note of.
        failed: those among them that failed.
        attached: whether a host of the queue knows it and can be reached.
        draining: whether it takes no more jobs.
        stuck: handlers that go on though their attempts are over, and that nothing can end.
        missing: why no host knows it, in words; empty if one does.
    """

    queue: str
    slots: int
    running: int
    over: int
    failed: int
    attached: bool
    draining: bool
    stuck: int = 0
    missing: str = ""


class GetWorker(Request[WorkerReport], wire_name="agentbus.queue.GetWorker"):
    """Ask a worker how it is."""


class DrainWorker(Request[bool], wire_name="agentbus.queue.DrainWorker"):
    """Have a worker take no more jobs, and answer once it has none: True if none was handed back.

    Said again with less time, the earlier end counts.

    Attributes:
        timeout: seconds after which jobs are handed back; None for the worker's own.
    """

    timeout: float | None = None
