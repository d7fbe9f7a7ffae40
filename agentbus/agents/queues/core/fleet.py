"""`Fleet`: the workers of a queue, and whose turn it is to get a job."""

from __future__ import annotations

from collections import OrderedDict, deque


class Worker:
    """A worker in one of its lives.

    Args:
        address: address text of the agent that takes the jobs.
        session: of this life of it.

    Attributes:
        address: see above.
        session: see above.
        capacity: jobs that it takes at a time.
        held: numbers of the jobs that it has.
        seen: monotonic time of its last sign.
        listed: it is among those that wait for a job.
    """

    __slots__ = ("address", "capacity", "held", "listed", "seen", "session")

    def __init__(self, address: str, session: str) -> None:
        self.address = address
        self.session = session
        self.capacity = 0
        self.held: set[int] = set()
        self.seen = 0.0
        self.listed = False


class Fleet:
    """The workers of a queue; those with free credit take turns.

    It has no bound of its own: who attaches is asked before (`QueueOptions.max_workers`).
    """

    def __init__(self) -> None:
        self._workers: OrderedDict[str, Worker] = OrderedDict()  # who was seen longest ago comes first
        self._free: deque[Worker] = deque()  # each worker once at most

    def __len__(self) -> int:
        return len(self._workers)

    def get(self, address: str) -> Worker | None:
        """Give a worker, if it is attached."""
        return self._workers.get(address)

    def see(self, address: str, session: str, capacity: int, now: float) -> Worker:
        """Take a sign of a worker; its last life must have been dropped."""
        worker = self._workers.get(address)
        if worker is None:
            worker = self._workers[address] = Worker(address, session)
        worker.capacity = capacity
        worker.seen = now
        self._workers.move_to_end(address)
        self.offer(worker)
        return worker

    def offer(self, worker: Worker) -> None:
        """Have a worker wait for a job, if it has free credit."""
        if not worker.listed and len(worker.held) < worker.capacity:
            worker.listed = True
            self._free.append(worker)

    def next_free(self) -> Worker | None:
        """Take the worker whose turn it is, None without one; who gives it a job offers it again."""
        while self._free:
            worker = self._free.popleft()
            worker.listed = False
            if len(worker.held) < worker.capacity and self._workers.get(worker.address) is worker:
                return worker
        return None

    @property
    def has_free(self) -> bool:
        """Whether somebody may be waiting for a job."""
        return bool(self._free)

    def drop(self, address: str) -> None:
        """Forget a worker."""
        self._workers.pop(address, None)

    def silent_since(self, time: float) -> Worker | None:
        """Give a worker without jobs of whom there was no sign since; None if there is none.

        One that has jobs keeps its place while their leases last, so that they count when it is back, but it
        gets no more until then.
        """
        for worker in self._workers.values():
            if worker.seen > time:
                return None
            if not worker.held:
                return worker
            worker.capacity = 0
        return None

    def touch(self, address: str, now: float) -> None:
        """Take a sign of a worker that says nothing of its capacity."""
        worker = self._workers.get(address)
        if worker is not None:
            worker.seen = now
            self._workers.move_to_end(address)

    def see_all(self, now: float) -> None:
        """Count all as seen: time stood still."""
        for worker in self._workers.values():
            worker.seen = now
