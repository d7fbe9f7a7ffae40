"""`Hosting`: this bus's claim to be the host of a queue: its store, its agent, and what ends both.

start ─► take the store ─► another host in the directory? ──yes──► QueueTakenError
                              │ no, or it died with the store: then everybody is told
                            open the store under a new epoch ─► the agent ─► listed with its epoch ─► ready
                              │ fails: restarted, with a new epoch of the same store
                              │ a higher claim shows up, or the store was claimed by somebody else
                              ▼
                            end: an event says why, the store is closed last
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.directory import MetadataValue
from agentbus.agents.events import (
    AgentsChanged,
    BusEvent,
    NodeUp,
    QueueHostEnded,
)
from agentbus.agents.finder import Sighting
from agentbus.agents.hosted import LocalAgent
from agentbus.agents.queues.agent import Plan
from agentbus.agents.queues.claim import Claim, died, higher_claim, other_host
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.messages import GetStats
from agentbus.agents.queues.names import agent_name, query_for
from agentbus.agents.queues.stores.store import Opened, QueueStore
from agentbus.agents.spawning import SpawnOptions
from agentbus.errors import (
    AgentBusError,
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    AskTimeoutError,
    BusClosedError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
    QueueOptionsError,
    QueueTakenError,
)
from agentbus.runtime import Future, MailboxOptions, RestartMode, RestartPolicy

if TYPE_CHECKING:
    from agentbus.agents.bus_queues import BusQueues
    from agentbus.runtime import Subscription

MAILBOX = 100_000
"""Messages that wait for a queue agent; a sender beyond waits, or tries again."""

CLAIM_PAUSE = 0.5
"""Seconds before a host is asked again, where the last question said nothing of it."""

CLAIM_TIMEOUT = 5.0
"""Seconds that another host gets to say that it lives, before the directory is asked again."""

NO_WORD_OF_IT = (AskTimeoutError, MailboxFullError, OutcomeUnknownError)
"""What a question to another host fails with that says nothing of whether it lives."""

SUPERVISION = RestartPolicy(mode=RestartMode.RESTART)

_log = logging.getLogger("agentbus.agents")


class Hosting:
    """One queue that this bus hosts. Made on any thread; the rest is on the agents' loop.

    Args:
        bus: whose.
        queue: its name.
        store: where its jobs are; this closes it.
        options: see `QueueOptions`.
        after: done when this bus has let go of the queue, which it has hosted before.

    Attributes:
        ready: done once the queue is hosted here; fails with why it is not.
        ended: done when it is not hosted here any more; fails with `QueueFencedError` or `QueueTakenError` if
            somebody else has taken it over, and with `AgentStopped` if its agent has failed too often.
        ending: whether it is about to end, or has.
    """

    def __init__(
        self,
        bus: BusQueues,
        queue: str,
        store: QueueStore,
        options: QueueOptions,
        after: Future[None] | None = None,
    ) -> None:
        self.ready: Future[None] = Future[None]().quiet()
        self.ended: Future[None] = Future[None]().quiet()
        self.ending = False
        self._bus = bus
        self._queue = queue
        self._store = store
        self._options = options
        self._after = after
        self._loop = bus.runtime.agents
        self._address = Address(bus.namespace, bus.node, agent_name(queue))
        self._opened: Opened | None = None
        self._agent: LocalAgent | None = None
        self._claim: Claim | None = None
        self._events: Subscription | None = None
        self._waiting = False
        self._error: Exception | None = None

    def check(self, options: QueueOptions | None) -> None:
        """Refuse options that the queue does not have; None is content with any.

        Raises:
            QueueOptionsError: see above.
        """
        for option in () if options is None else QueueOptions.__struct_fields__:
            own, other = getattr(self._options, option), getattr(options, option)
            if own != other:
                where = f"this bus hosts queue {self._queue!r} with {own!r}, not {other!r}; close that first"
                raise QueueOptionsError(option, where)

    # -- begin -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to host it, once."""
        self._loop.run(self._start()).add_done_callback(self._started)

    async def _start(self) -> None:
        if self._after is not None:
            await asyncio.wait([asyncio.ensure_future(_settled(self._after))])
        await self._bus.start()
        await self._refuse_if_taken(await self._store.claim(str(self._address)))
        self._events = self._bus.events.attach(self._heard)
        self._opened = opened = await self._store.open(str(self._address))
        if self.ending:
            raise BusClosedError
        self._claim = Claim(opened.epoch, self._address)
        self._agent = self._bus.spawn_host(
            self._plan(),
            SpawnOptions(
                name=self._address.agent,
                metadata=self._metadata(opened.epoch),
                supervision=SUPERVISION,
                mailbox=MailboxOptions(capacity=MAILBOX),
            ),
        )
        self._agent.ended().add_done_callback(lambda _ended: self._loop.call_soon(self._agent_ended))
        self._look_around()

    async def _refuse_if_taken(self, died_with: str) -> None:
        """Ask the host that the directory shows: it may have ended, and one that is suspect may be dead.

        Args:
            died_with: see `died`.

        Raises:
            QueueTakenError: it answers, or its agent has just failed and is about to be restarted.
            BusClosedError: nobody wants to host it here any more.
        """
        while not self.ending:
            other = other_host(self._sightings(died_with), self._bus.node)
            if other is None:
                return
            try:
                await self._bus.ref_of(other).ask(GetStats(), timeout=CLAIM_TIMEOUT)
            except (NoSuchAgentError, AgentStopped):
                return
            except NO_WORD_OF_IT:
                self._say_that_it_waits(other)
                await asyncio.sleep(CLAIM_PAUSE)  # until the directory knows whether it lives
            except (AgentFailed, AgentRestarted):
                raise QueueTakenError(self._queue, str(other)) from None
            else:
                raise QueueTakenError(self._queue, str(other))
        raise BusClosedError

    def _sightings(self, died_with: str) -> list[Sighting]:
        """Give the hosts in the directory; one that is dead for certain is declared so, to everybody."""
        found = list(self._bus.sightings(query_for(self._queue)))
        for each in found:
            if died(each, died_with):
                self._bus.declare_dead(each.address.node)
        return [each for each in found if not died(each, died_with)]

    def _say_that_it_waits(self, other: Address) -> None:
        """Say once why it may take a while: nothing else shows it."""
        if not self._waiting:
            self._waiting = True
            _log.warning(
                "queue %r: its last host, %s, does not answer and may live; it counts as dead 20 s after "
                "its last sign. Where a host has the same node= at every start, a restart waits for nothing",
                self._queue,
                other,
            )

    def _metadata(self, epoch: int) -> dict[str, MetadataValue]:
        return {"queue": self._queue, "epoch": epoch}

    def _plan(self) -> Plan:
        return Plan(
            self._queue,
            self._options.within(self._bus.max_body_bytes),
            self._store,
            self._take_opened,
            self._claimed,
            lambda: self._bus.joined,
            self._end,
        )

    def _take_opened(self) -> Opened | None:
        opened, self._opened = self._opened, None
        return opened

    def _started(self, start: Future[None]) -> None:
        error = BusClosedError() if start.cancelled() else start.exception()
        if error is not None:
            self.ready.try_set_exception(error)
            self._loop.call_soon(self._over)

    def _claimed(self, epoch: int) -> None:
        """Show the epoch of a new life in the directory."""
        agent = self._agent
        if agent is not None and self._claim is not None and self._claim.epoch != epoch:
            self._claim = Claim(epoch, self._address)
            agent.entry = msgspec.structs.replace(agent.entry, metadata=self._metadata(epoch))
            self._bus.listed(agent.entry)
        self.ready.try_set(None)

    # -- others ----------------------------------------------------------------------------------------------

    def _heard(self, event: BusEvent) -> None:
        """Hear what happens on the bus; on the thread of whoever tells it."""
        if isinstance(event, AgentsChanged | NodeUp):
            self._loop.call_soon(self._look_around)

    def _look_around(self) -> None:
        """End if somebody else's claim is above ours: two had begun before they heard of each other."""
        if self._claim is None or self.ending:
            return
        above = higher_claim(self._claim, self._bus.sightings(query_for(self._queue)))
        if above is not None:
            self._end(QueueTakenError(self._queue, str(above)))

    # -- end -------------------------------------------------------------------------------------------------

    def close(self) -> Future[None]:
        """End in good order, from any thread; gives the future of the end."""
        self.ending = True
        self._loop.call_soon(self._stop)
        return self.ended

    def _end(self, error: Exception) -> None:
        """End against the will of who hosts it here."""
        if not self.ending:
            self.ending = True
            self._error = error
            _log.error("this bus hosts a queue no more: %s", error)
            self._bus.report(QueueHostEnded(self._queue, str(error)))
            self._stop()

    def _stop(self) -> None:
        if self._agent is None:
            self._over()
        else:
            self._agent.stop(now=True)

    def _agent_ended(self) -> None:
        if not self.ending:
            self._end(
                AgentStopped(f"the agent of queue {self._queue!r} has failed too often; AgentGaveUp says why")
            )
        self._over()

    def _over(self) -> None:
        """Let go of the store, as the last act: whoever finds it free may claim it."""
        self.ending = True
        if self._events is not None:
            self._events.cancel()
        self.ready.try_set_exception(BusClosedError(f"queue {self._queue!r} was closed"))
        self._store.close().add_done_callback(self._let_go)

    def _let_go(self, _closed: Future[None]) -> None:
        self._bus.forget_hosting(self._queue, self)
        if self._error is None:
            self.ended.try_set(None)
        else:
            self.ended.try_set_exception(self._error)


async def _settled(future: Future[None]) -> None:
    with suppress(AgentBusError):
        await future
