"""`PullerCore`: the rules of who takes jobs for the replicas of a worker. Pure.

    host                puller                                   replicas
    Attach   ◄───────── capacity and tokens, every third of a lease
    Leased   ─────────► a slot for each job        ── Start ──►  the handler begins
    Settle   ◄───────── those of one turn together ◄─ ended ───  it ends
    Revoked  ─────────► not ours any more          ── Stop ───►  the handler is cancelled

A job is *held* from its `Leased` until its settlement was answered, or its lease is known to be lost. Its
slot is *busy* until its handler has ended, whatever has become of the job: so a handler that does not give in
takes from the capacity, and nothing is leased that could not begin.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

from agentbus.agents.queues.core.timers import Timers
from agentbus.agents.queues.holding import Ended, Held, Kill, Lost, Order, Start, Stop, Stuck, Why
from agentbus.agents.queues.messages import Attach, Attached, Leased, Progress, Revoked, Settlement
from agentbus.agents.queues.unsettled import Unsettled, retry_delay

RENEWALS = 3
"""Attachments within one lease."""

PROGRESS_INTERVAL = 1.0
"""Seconds after which the host hears of progress at the earliest; of many jobs it hears less often."""

MAX_NOTE = 500
"""Characters of a note that travel."""


class PullerCore:
    """What a puller knows and decides; time comes in, orders go out.

    Args:
        queue: name of the queue.
        worker: the puller's address, where jobs are sent.
        session: of this life of it.
        slots: jobs at a time.
        stall_timeout: seconds without a mark of progress after which a lease is not renewed; None = any.

    Attributes:
        epoch: of the host that was last heard of; 0 before the first.
        over: attempts whose end a host has taken note of; those that were handed back do not count.
        failed: those among them that failed or were rejected.
    """

    def __init__(
        self, queue: str, worker: str, session: str, slots: int, *, stall_timeout: float | None = None
    ) -> None:
        self.epoch = 0
        self.over = 0
        self.failed = 0
        self._queue = queue
        self._worker = worker
        self._session = session
        self._stall_timeout = stall_timeout
        self._slots = slots
        self._free = list(range(slots - 1, -1, -1))
        self._gone: set[int] = set()
        self._idle_hands: set[int] = set()
        self._held: dict[str, Held] = {}
        self._numbers: dict[int, Held] = {}
        self._counter = count(1)
        self._newest_until = 0.0
        self._timers = Timers()
        self._waiting: dict[str, Held] = {}
        self._unsettled = Unsettled()
        self._progress: dict[str, Progress] = {}
        self._orders: list[Order] = []
        self._said: int | None = None
        self._attaching = False
        self._attach_at = 0.0
        self._tries = 0
        self._drain_at: float | None = None

    # -- what others see -------------------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many handlers work on jobs that are ours."""
        return sum(1 for held in self._held.values() if held.working and held.open)

    @property
    def stuck(self) -> int:
        """How many handlers go on that nothing can end: each keeps a slot."""
        return sum(1 for held in self._held.values() if held.stuck)

    @property
    def attached(self) -> bool:
        """Whether a host knows us, as far as we know."""
        return self.epoch > 0 and not self._tries

    @property
    def draining(self) -> bool:
        """Whether we take no more jobs."""
        return self._drain_at is not None

    @property
    def drained(self) -> bool:
        """Whether we take no more jobs, and a host knows what has become of all that we had."""
        return self.draining and not any(held.valid for held in self._held.values())

    @property
    def hopeless(self) -> bool:
        """Whether no replica is left."""
        return len(self._gone) == self._slots

    @property
    def capacity(self) -> int:
        """How many jobs may be leased to us: slots that are busy with what is not ours do not count."""
        return 0 if self.draining else self._slots - len(self._gone | self._idle_hands)

    def is_held(self, token: str) -> bool:
        """Whether a job is ours, as far as we know."""
        held = self._held.get(token)
        return held is not None and held.valid

    # -- the host --------------------------------------------------------------------------------------------

    def attach(self, now: float) -> Attach | None:
        """Give what is to be said to the host now; None if nothing is due."""
        changed = self._said != self.capacity and not self._tries
        if self._attaching or not (changed or now >= self._attach_at):
            return None
        self._attaching = True
        self._said = self.capacity
        progress, self._progress = tuple(self._progress.values()), {}
        ours = {token: held for token, held in self._held.items() if held.valid}
        stalled = tuple(token for token, held in ours.items() if held.is_stalled(self._stall_timeout, now))
        return Attach(self._worker, self._session, self._said, tuple(ours), stalled, progress)

    def attach_answered(self, answer: Attached, now: float) -> None:
        """Take the host's answer; that of a host whose time is over counts as none.

        A queue may also have begun anew, with epochs from 1: so an older host is believed once nobody newer
        was heard for a whole lease.
        """
        if answer.epoch < self.epoch and now < self._newest_until:
            self.attach_failed(now)
            return
        self._newest_until = now + answer.lease
        if answer.epoch != self.epoch:
            self._unsettled.at = now  # another host, which may not know what the last one was told
        self.epoch = answer.epoch
        self._attaching, self._tries = False, 0
        self._attach_at = now + answer.lease / RENEWALS
        for token in answer.lost:
            self._lose(token, now)
        for token in answer.cancelled:
            self._revoke(token, now)

    def attach_failed(self, now: float) -> None:
        """Learn that the host has not answered: another one may be there in a moment."""
        self._attaching = False
        self._attach_at = now + retry_delay(self._tries)
        self._tries += 1

    def look_again(self, now: float) -> None:
        """Learn that there may be another host: whatever waits is said at once."""
        self._attach_at = self._unsettled.at = now

    def leased(self, message: Leased, now: float) -> None:
        """Take jobs: each begins in a free slot, or waits a moment until a handler has given in."""
        if message.session != self._session or message.epoch < self.epoch:
            return
        for job in message.jobs:
            if job.token not in self._held:
                held = Held(next(self._counter), job, now)
                self._held[job.token] = self._numbers[held.number] = held
                if self.draining:
                    self._settle(held, Settlement(job.token, "release"))
                else:
                    held.waiting, self._waiting[job.token] = True, held
                    self._watch(held)
        self._begin_waiting(now)

    def _begin_waiting(self, now: float) -> None:
        while self._waiting and self._free:
            held = self._waiting.pop(next(iter(self._waiting)))
            held.begin(self._free.pop(), now)
            self._watch(held)
            self._orders.append(Start(held.job, held.slot or 0))

    def _release_waiting(self, held: Held) -> None:
        held.waiting = False
        if self._waiting.pop(held.job.token, None) is not None:
            self._settle(held, Settlement(held.job.token, "release"))
            self._let_go(held)

    def revoked(self, message: Revoked, now: float) -> None:
        """Stop jobs that somebody has cancelled, or whose leases are over."""
        if message.session == self._session:
            stop = self._lose if message.why == "lost" else self._revoke
            for token in message.tokens:
                stop(token, now)

    def _revoke(self, token: str, now: float) -> None:
        held = self._held.get(token)
        if held is None or not held.open:
            return  # of one that is being settled, the answer to that says what counts
        held.revoked = True
        self._stop(held, "revoked", now)
        if self._waiting.pop(token, None) is not None:
            self._settle(held, Settlement(token, "cancel"))
        self._let_go(held)

    def _lose(self, token: str, now: float) -> None:
        held = self._held.get(token)
        if held is None or not held.open:
            return  # see above
        held.valid = False
        self._waiting.pop(token, None)
        self._orders.append(Lost(held.job))
        self._stop(held, "lost", now)
        self._let_go(held)

    # -- handlers --------------------------------------------------------------------------------------------

    def progressed(self, token: str, done: float | None, note: str, now: float) -> None:
        """Take a handler's sign that it goes on."""
        held = self._held.get(token)
        if held is not None and held.working and held.open:
            held.marked = now
            self._progress[token] = Progress(token, done, note[:MAX_NOTE])
            if not self._tries:
                interval = PROGRESS_INTERVAL * max(1.0, len(self._held) / 1000)
                self._attach_at = min(self._attach_at, now + interval)

    def ended(self, token: str, settlement: Settlement | None, now: float) -> None:
        """Learn that a handler has ended.

        Args:
            token: of the attempt.
            settlement: what has come of it; None if it gave in to its cancelling.
            now: the time.
        """
        held = self._held.get(token)
        if held is None or not held.working:
            return
        held.working = False
        if held.slot is not None:
            self._idle_hands.discard(held.slot)
            if held.slot not in self._gone:
                self._free.append(held.slot)
        if held.open:
            found = held.given_in(self._queue) if settlement is None or held.why == "revoked" else settlement
            if found is not None:
                self._settle(held, found)
        self._let_go(held)
        self._begin_waiting(now)

    def broke(self, token: str, settlement: Settlement) -> None:
        """Learn what has come of an attempt whose handler has said nothing, as its agent is gone."""
        held = self._held.get(token)
        if held is not None and held.open:
            self._settle(held, held.given_in(self._queue) or settlement)
            self._let_go(held)

    def slot_gone(self, slot: int) -> None:
        """Learn that a replica is gone for good."""
        self._gone.add(slot)
        if slot in self._free:
            self._free.remove(slot)

    def _stop(self, held: Held, why: Why, now: float) -> None:
        if held.ask_to_end(why, now):
            self._orders.append(Stop(held.job.token))
        self._watch(held)

    def _settle(self, held: Held, settlement: Settlement) -> None:
        held.settlement = settlement
        self._unsettled.add(settlement)
        if held.slot is not None:  # else it has not begun, and that is no news
            self._orders.append(Ended(held.job, settlement))

    def _let_go(self, held: Held) -> None:
        """Forget what is over on both sides; a handler that works on what is not ours keeps its slot."""
        if held.working:
            if held.slot is not None and (held.revoked or not held.open):
                self._idle_hands.add(held.slot)
            return
        self._timers.remove(held.number)
        if not held.valid:
            self._held.pop(held.job.token, None)
            self._numbers.pop(held.number, None)
            self._progress.pop(held.job.token, None)

    # -- settlements -----------------------------------------------------------------------------------------

    def take_settlements(self, now: float) -> list[Settlement]:
        """Take what is to be said to the host now, as much as goes into one message."""
        return self._unsettled.take(now)

    def settled(self, batch: Sequence[Settlement], refused: Sequence[str], now: float) -> None:
        """Take the host's answer: it is durable; what it refuses was not ours any more."""
        self._unsettled.answered(batch, now)
        not_ours = set(refused)
        for settlement in batch:
            held = self._held.get(settlement.token)
            if held is None:
                continue
            held.valid = False
            if settlement.token not in not_ours:
                self.over += settlement.outcome != "release"
                self.failed += settlement.outcome in {"fail", "reject"}
            else:
                self._orders.append(Lost(held.job))
            self._let_go(held)

    def not_settled(self, batch: Sequence[Settlement], now: float) -> None:
        """Learn that nobody has answered: it is said again, to a successor perhaps."""
        self._unsettled.failed(batch, now)

    # -- the end ---------------------------------------------------------------------------------------------

    def drain(self, timeout: float, now: float) -> None:
        """Take no more jobs; what has not ended in time is handed back. Of two times the earlier counts."""
        at = now + timeout
        self._drain_at = at if self._drain_at is None else min(self._drain_at, at)
        for held in list(self._waiting.values()):
            self._release_waiting(held)
        for held in self._held.values():
            self._watch(held)

    # -- time ------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due: limits, and the end of a drain."""
        while (number := self._timers.pop(now)) is not None:
            held = self._numbers[number]
            self._overdue(held, now)
            self._watch(held)

    def _watch(self, held: Held) -> None:
        """Have `tick` look at a job when something is to be done about it."""
        due = held.due(self._drain_at)
        if due is None:
            self._timers.remove(held.number)
        else:
            self._timers.push(held.number, due)

    def _overdue(self, held: Held, now: float) -> None:
        job = held.job
        if held.waiting:
            self._release_waiting(held)
        elif not held.open and held.killed is not None:
            held.stuck = True
            self._orders.append(Stuck(held.job))
        elif not held.open:
            self._kill(held, now)
        elif job.hard_timeout is not None and now >= held.began + job.hard_timeout:
            self._stop(held, "hard", now)
            self._settle(held, held.timed_out(self._queue))
            self._kill(held, now)
        elif job.soft_timeout is not None and not held.why and now >= held.began + job.soft_timeout:
            self._stop(held, "soft", now)
        elif self._drain_at is not None and now >= self._drain_at and not held.why:
            self._stop(held, "drain", now)
        else:
            self._give_up(held, now)
        self._let_go(held)

    def _give_up(self, held: Held, now: float) -> None:
        """Wait no longer for a handler that was asked to end."""
        found = held.given_in(self._queue)
        if found is not None:
            self._settle(held, found)
        self._kill(held, now)

    def _kill(self, held: Held, now: float) -> None:
        if held.killed is None:
            held.killed = now
            self._orders.append(Kill(held.job.token))

    def take_orders(self) -> list[Order]:
        """Take what is to be done."""
        orders, self._orders = self._orders, []
        return orders

    def next_due(self) -> float | None:
        """Give when `tick`, `attach` or `take_settlements` has something to do next; None for never."""
        times = [] if self._attaching else [self._attach_at]
        if self._unsettled.waiting:
            times.append(self._unsettled.at)
        due = self._timers.next_due()
        return min(times, default=None) if due is None else min([due, *times])
