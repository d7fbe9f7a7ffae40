"""The part of a `Bus` that hosts and uses queues."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, cast

from agentbus.agents.bus_discovery import BusDiscovery
from agentbus.agents.finder import Sighting
from agentbus.agents.hosted import LocalAgent
from agentbus.agents.message import Message
from agentbus.agents.node import NodeActor
from agentbus.agents.query import Query
from agentbus.agents.queues.absence import Outlook
from agentbus.agents.queues.core.options import QueueOptions
from agentbus.agents.queues.handle import Queue
from agentbus.agents.queues.names import ANY_QUEUE, agent_name
from agentbus.agents.spawning import SpawnOptions
from agentbus.errors import BusClosedError
from agentbus.runtime import Future

if TYPE_CHECKING:
    from agentbus.agents.queues.agent import Plan
    from agentbus.agents.queues.hosting import Hosting
    from agentbus.agents.queues.messages import ScheduleStatus
    from agentbus.agents.queues.stores.store import QueueStore

MAX_HANDLES = 1000
"""Handles that are kept to be given out again, so that what is put through them shares messages."""


class BusQueues(BusDiscovery):
    """The part of a `Bus` that hosts and uses queues."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._hostings: dict[str, Hosting] = {}
        self._queues: dict[str, Queue] = {}

    def queue(
        self, name: str, *, store: str | QueueStore | None = None, options: QueueOptions | None = None
    ) -> Queue:
        """Give a queue, which may be hosted on any node; with a store, host it here.

        One node hosts a queue at a time: `Queue.ready` fails with `QueueTakenError` where another does. A
        second call for a queue that this bus hosts gives the same host, whatever the store. It ends with the
        bus, after all other agents.

        Args:
            name: of the queue.
            store: where its jobs are kept: "sqlite:///path", or "memory://", which is as durable as this
                process.
            options: what it allows, where it is hosted.

        Raises:
            InvalidNameError: the name has no place in an address.
            ValueError: there is no such store, or options without a store.
            QueueOptionsError: this bus hosts the queue already, with other options.
            BusClosedError: the bus is closed, and was to host it.
        """
        agent_name(name)
        if store is not None:
            hosting = self._host_queue(name, store, options)
            return Queue(self, name, hosting)
        if options is not None:
            raise ValueError("a queue has its options from its host: give them with store=")
        if len(self._queues) >= MAX_HANDLES:
            self._queues.clear()
        return self._queues.setdefault(name, Queue(self, name))

    def _host_queue(self, name: str, store: str | QueueStore, options: QueueOptions | None) -> Hosting:
        from agentbus.agents.queues.hosting import Hosting  # loaded where a queue is hosted
        from agentbus.agents.queues.store_url import open_store

        if "closed" in self._once:
            raise BusClosedError
        known = self._hostings.get(name)
        if known is not None and known.ending:
            self.forget_hosting(name, known)
        elif known is not None:
            known.check(options)
            return known
        made = open_store(store, name) if isinstance(store, str) else store
        hosting = Hosting(self, name, made, options or QueueOptions(), None if known is None else known.ended)
        hosted = self._hostings.setdefault(name, hosting)
        if hosted is hosting:  # else another thread was faster
            hosting.start()
        else:
            hosted.check(options)
        return hosted

    def _last_to_end(self) -> list[Future[None]]:
        return [hosting.close() for hosting in list(self._hostings.values())]

    def schedule(
        self,
        queue: str | Queue,
        message: Message,
        *,
        name: str,
        cron: str = "",
        every: float | None = None,
        timezone: str = "UTC",
        misfire: Literal["skip", "once"] = "skip",
        timeout: float | None = None,
        **options: Any,
    ) -> Future[ScheduleStatus]:
        """Have a queue put a job again and again; it keeps the schedule, so any process may say it, often.

        Args:
            queue: which, or its name.
            message: of the jobs.
            name: of the schedule; the same name again replaces it.
            cron: five fields, or six with seconds in front.
            every: seconds from one job to the next, at least 0.1; this or `cron`.
            timezone: IANA name that `cron` is read in.
            misfire: what is done about times that passed while the queue was down: "skip" them, or put
                "once".
            timeout: seconds to wait for the queue.
            options: of the jobs, see `Queue.put`.

        Returns:
            The future of the schedule as it is kept. It fails with `ScheduleError`, and as `Queue.put`.

        Raises:
            ScheduleError: neither `cron` nor `every`, or both, or seconds that make no sense.
        """
        target = self.queue(queue) if isinstance(queue, str) else queue
        return target.schedule(
            message,
            name=name,
            cron=cron,
            every=every,
            timezone=timezone,
            misfire=misfire,
            timeout=timeout,
            **options,
        )

    # -- for queues ------------------------------------------------------------------------------------------

    def sightings(self, query: Query) -> Iterator[Sighting]:
        """Give the agents that fit, as known now."""
        return self._finder().look(query)

    @property
    def max_body_bytes(self) -> int:
        """Bytes of a message's body between nodes."""
        return self._node.max_body_bytes

    @property
    def joined(self) -> bool:
        """Whether other nodes can be reached, as far as is known now."""
        parts = self._node.parts
        return parts is not None and parts.exchange.ready

    def outlook(self) -> Outlook:
        """Say what this bus sees of queues now."""
        parts = self._node.parts
        guest = parts is not None and parts.membership.guest
        found = {str(each.entry.metadata.get("queue", "")) for each in self.sightings(ANY_QUEUE)}
        hub = self._way.url
        return Outlook(hub, self.joined, guest, self.namespace, tuple(sorted(found - {""})))

    def declare_dead(self, node: str) -> None:
        """Declare a node dead, here and everywhere: its process is gone for certain."""
        with suppress(BusClosedError):
            self._node.tell(NodeActor.Certify(node))

    def fail_at(self, future: Future[Any], deadline: float, error: Callable[[], Exception]) -> None:
        """Fail a future with what `error()` gives at a time, unless it is done before."""
        self._post.deadlines.add(future, deadline, error)

    def spawn_host(self, plan: Plan, options: SpawnOptions) -> LocalAgent:
        """Start the agent of a queue.

        Raises:
            BusClosedError: the bus is closed.
        """
        from agentbus.agents.queues.agent import QueueAgent

        if "closed" in self._once:
            raise BusClosedError
        return cast("LocalAgent", self._house.spawn(QueueAgent, (plan,), {}, options))

    def forget_hosting(self, name: str, hosting: Hosting) -> None:
        """Take note that a queue is not hosted here any more."""
        if self._hostings.get(name) is hosting:
            del self._hostings[name]
