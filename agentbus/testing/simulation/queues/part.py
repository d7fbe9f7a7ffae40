"""What one life of a node does for a queue: it hosts it, works for it, or puts jobs on it, or all of that."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from agentbus.agents.bus import Bus
from agentbus.agents.queues.core.job import QueueStats
from agentbus.agents.queues.handle import Queue
from agentbus.agents.queues.job_ref import JobRef
from agentbus.agents.queues.messages import ScheduleStatus
from agentbus.agents.queues.new_jobs import Flow
from agentbus.agents.queues.results import JobResult
from agentbus.agents.ref import AgentRef
from agentbus.errors import AgentBusError
from agentbus.runtime import Future
from agentbus.testing.simulation.queues.agents import QueueWorker, Task
from agentbus.testing.simulation.queues.history import AttemptLog, Drain, Order, Payment, PutLog

if TYPE_CHECKING:
    from agentbus.testing.simulation.bus.letters import LifeLog
    from agentbus.testing.simulation.process import Process
    from agentbus.testing.simulation.queues.scene import QueueScene

QUEUE = "tasks"
HOST_AGAIN = 3.0
"""Seconds until a program that could not host the queue tries again."""


class QueuePart:
    """The part of one life. All calls are made in its process.

    Args:
        scene: the queue's share of the world.
        bus: of the life.
        log: of the life.
        process: of the life.
        node: its name.
    """

    def __init__(self, scene: QueueScene, bus: Bus, log: LifeLog, process: Process) -> None:
        self._scene = scene
        self._bus = bus
        self._log = log
        self._process = process
        self._worker: AgentRef | None = None
        self._workers = 0
        self._refs: list[JobRef[Any]] = []
        self.queue: Queue = bus.queue(QUEUE)
        spec = scene.spec
        if log.node in spec.hosts:
            self._host()
        if log.node in spec.workers:
            self.start_worker()

    def _note(self, event: str) -> None:
        self._scene.note(str(self._log), event)

    # -- hosting -------------------------------------------------------------------------------------------

    def _host(self) -> None:
        if self._log.over:
            return
        store = self._scene.disk.store(self._process.loop, self._log.node)
        self._note("is to host the queue")
        hosted = self._bus.queue(QUEUE, store=store, options=self._scene.spec.options())
        hosted.ready.add_done_callback(self._hosts)
        hosted.ended.add_done_callback(self._hosts_no_more)

    def _hosts(self, ready: Future[None]) -> None:
        error = ready.exception()
        self._note("hosts the queue" if error is None else f"does not host the queue: {error}")

    def _hosts_no_more(self, ended: Future[None]) -> None:
        self._note(f"hosts the queue no more: {ended.exception()!r}")
        if not self._log.over:
            self._process.loop.call_later(HOST_AGAIN, self._host)

    # -- working -------------------------------------------------------------------------------------------

    def start_worker(self) -> None:
        """Start a worker, if this node is to have one and has none."""
        if self._log.over or self._worker is not None or self._log.node not in self._scene.spec.workers:
            return
        self._workers += 1
        self._worker = self._bus.spawn(
            QueueWorker,
            self,
            name=f"hand{self._workers}",
            queue=QUEUE,
            concurrency=self._scene.spec.concurrency,
        )

    def stop_worker(self, timeout: float) -> None:
        """Have the worker hand back what it does not end in time, and stop."""
        from agentbus.agents.queues.puller_messages import DrainWorker

        worker, self._worker = self._worker, None
        if worker is None or self._log.over:
            return
        self._note(f"drains its worker within {timeout:g} s")
        drain = Drain(self._scene.now(), self._log, worker.address.agent)
        self._scene.history.drains.append(drain)
        worker.ask(DrainWorker(timeout)).add_done_callback(partial(self._drained, worker))

    def _drained(self, worker: AgentRef, drained: Future[bool]) -> None:
        self._note(f"has drained its worker: {drained.exception() or drained.get(0)}")
        if not self._log.over:
            worker.stop()

    def began(self, job_id: str, token: str, number: int, inputs: list[Any]) -> AttemptLog:
        """Hear from a worker that it takes up a job."""
        attempts = self._scene.history.attempts
        attempt = AttemptLog(job_id, token, number, inputs, self._log, self._scene.now())
        attempt.value = f"{job_id} {number} {self._log} {len(attempts)}"
        attempts.append(attempt)
        self._note(f"takes up {attempt}")
        return attempt

    def ended(self, attempt: AttemptLog, outcome: str) -> None:
        """Hear from a worker that it is done with a job."""
        attempt.ended_at, attempt.outcome = self._scene.now(), outcome
        self._note(f"{outcome}: {attempt}")

    def pay(self, job_id: str) -> None:
        """Do what must not be repeated."""
        self._scene.history.payments.append(Payment(job_id, self._log, self._scene.now()))
        self._note(f"pays for {job_id}")

    # -- putting -------------------------------------------------------------------------------------------

    def put(self, what: Task | Flow, names: tuple[str, ...], options: dict[str, Any]) -> None:
        """Put a job or a flow, and wait for its end."""
        if self._log.over:
            return
        log = PutLog(names, self._log, self._scene.now(), options.get("timeout"))
        self._scene.history.puts.append(log)
        self._note(f"puts {log.name}, {options}")
        try:
            self.queue.put(what, **options).add_done_callback(partial(self._put, log))
        except AgentBusError as error:
            log.done_at, log.error = self._scene.now(), error

    def _put(self, log: PutLog, future: Future[JobRef[Any]]) -> None:
        log.done_at, log.error = self._scene.now(), future.exception()
        if log.error is not None:
            self._note(f"has not put {log.name}: {type(log.error).__name__}: {log.error}")
            return
        ref = future.get(0)
        log.job_id = ref.id
        self._refs.append(ref)
        self._note(f"has put {log.name} as {ref.id}")
        ref.outcome().add_done_callback(partial(self._resulted, log))

    def _resulted(self, log: PutLog, future: Future[JobResult]) -> None:
        error = future.exception()
        log.result_at = self._scene.now()
        if error is not None:
            log.result_error = error
        else:
            result = future.get(0)
            log.value, log.result_error = result.value, result.error
        self._note(f"{log.name} -> {log.value or repr(log.result_error)}")

    # -- steering ------------------------------------------------------------------------------------------

    def cancel_last(self) -> None:
        """Cancel the job that was put last."""
        if self._refs and not self._log.over:
            self._note(f"cancels {self._refs[-1].id}")
            self._refs[-1].cancel().quiet()

    def steer(self, action: Literal["retry", "drop"], last: int | None) -> None:
        """Try dead jobs again, or forget some; the last few that were put here, or all there are."""
        if self._log.over:
            return
        ids = None if last is None else [ref.id for ref in self._refs[-last:]]
        self._scene.history.orders.append(
            Order(self._scene.now(), action, None if ids is None else frozenset(ids))
        )
        self._note(f"has the queue {action} {'all' if ids is None else ', '.join(ids)}")
        (self.queue.retry(ids) if action == "retry" else self.queue.drop(ids)).quiet()

    def hold(self, *, back: bool) -> None:
        """Pause the queue, or resume it."""
        if not self._log.over:
            self._note("pauses the queue" if back else "resumes the queue")
            (self.queue.pause() if back else self.queue.resume()).quiet()

    def keep_schedule(self, name: str, every: float, *, once: bool, takes: float) -> None:
        """Have a job put every so many seconds."""
        if self._log.over:
            return
        self._note(f"has {name} put every {every:g} s")
        self._scene.history.schedules.setdefault(name, set()).add(every)
        kept = self.queue.schedule(
            Task(name, takes), name=name, every=every, misfire="once" if once else "skip"
        )
        kept.add_done_callback(partial(self._kept, name))

    def _kept(self, name: str, kept: Future[ScheduleStatus]) -> None:
        self._note(f"knows that {name} is kept: {kept.exception() or kept.get(0).last or 'never put so far'}")

    def drop_schedule(self, name: str) -> None:
        """Have it put no more."""
        if not self._log.over:
            self._note(f"has {name} put no more")
            self.queue.drop_schedule(name).quiet()

    def count(self) -> None:
        """Ask the host for the queue in numbers."""
        if not self._log.over:
            self.queue.stats().add_done_callback(self._counted)

    def _counted(self, future: Future[QueueStats]) -> None:
        if future.exception() is None:
            self._scene.history.stats = future.get(0)
