"""`spawn(…, queue=…)`: starts a worker, and sees that it hands back its jobs before its bus ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentbus.agents.agent import AgentContext
from agentbus.agents.hosted import Hosted
from agentbus.agents.queues.fleet_plan import fleet_plan
from agentbus.agents.queues.holding import HAND_BACK_GRACE
from agentbus.agents.queues.puller import LAST_WORDS, Puller
from agentbus.agents.queues.puller_messages import DrainWorker
from agentbus.agents.spawning import REPLICA_POLICY, SpawnOptions
from agentbus.runtime import Future

if TYPE_CHECKING:
    from agentbus.agents.bus import Bus


def start_worker(
    bus: Bus,
    cls: type[Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    options: SpawnOptions,
    parent: AgentContext | None,
) -> Hosted:
    """Start a worker; see `Bus.spawn`.

    Raises:
        TypeError: see `Bus.spawn`.
        ValueError: see `Bus.spawn`.
        BusClosedError: the bus is closed.
    """
    name = options.name or f"{cls.__name__.lower()}-{bus.runtime.new_id()[:8]}"
    plan = fleet_plan(cls, args, kwargs, options, name)
    metadata = {**(options.metadata or {}), "queue": plan.queue}
    own = SpawnOptions(name=name, supervision=REPLICA_POLICY, metadata=metadata, detached=options.detached)
    hosted = bus.start_agent(Puller, (plan,), {}, own, parent)

    def hand_back(timeout: float | None) -> Future[Any]:
        """Drain in time for what follows, or hand back at once."""
        wanted = 0.0 if timeout is None else max(0.0, timeout - HAND_BACK_GRACE - LAST_WORDS)
        done: Future[None] = Future()
        asked = bus.ref_to(name).ask(DrainWorker(min(wanted, plan.drain_timeout)))
        asked.quiet().add_done_callback(lambda _asked: done.try_set(None))
        return done

    forget = bus.before_close(hand_back)
    hosted.ended().add_done_callback(lambda _ended: forget())
    return hosted
