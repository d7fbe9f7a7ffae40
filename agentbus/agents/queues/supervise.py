"""The program of the process that keeps a queue's worker processes running: `agentbus worker --queue`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from contextlib import ExitStack

import msgspec

from agentbus.agents.bus import Bus
from agentbus.agents.events import BusEvent, ProcessExited
from agentbus.agents.queues.health import HealthServer
from agentbus.agents.queues.parent import PlaceReport, WorkerParent
from agentbus.agents.queues.serving import CLOSE_TIMEOUT, JobOptions, Signals
from agentbus.agents.queues.sources import SourceWatch, root_of
from agentbus.agents.trust import TrustMode
from agentbus.errors import AgentBusError, FutureTimeoutError
from agentbus.runtime import Future

SHOW_INTERVAL = 0.5
"""Seconds between two looks at how the processes are."""

ENDED = "ended"
GIVEN_UP = "given up"


class Door(msgspec.Struct, frozen=True):
    """Where the processes join the bus, and as whom; its repr holds no credential.

    Attributes:
        url: the hub.
        api_key: a publishable key; None with a token.
        token: a JWT; None with a key.
        namespace: see `Bus`.
        trust: see `Bus`; None for its default.
    """

    url: str
    api_key: str | None = None
    token: str | None = None
    namespace: str = "default"
    trust: TrustMode | None = None

    def __repr__(self) -> str:
        return f"<Door to {self.url}, namespace {self.namespace!r}>"

    def bus(self) -> Bus:
        """Make a bus."""
        token = self.token
        provider = None if token is None else lambda: token
        return Bus(
            self.url,
            api_key=self.api_key,
            token_provider=provider,
            namespace=self.namespace,
            trust=self.trust,
        )

    def environment(self) -> dict[str, str]:
        """Give the variables with which a child process takes the same door."""
        found = {
            "AGENTBUS_URL": self.url,
            "AGENTBUS_KEY": self.api_key,
            "AGENTBUS_TOKEN": self.token,
            "AGENTBUS_NAMESPACE": self.namespace,
            "AGENTBUS_TRUST": self.trust,
        }
        return {name: value for name, value in found.items() if value is not None}


class Screen(msgspec.Struct, frozen=True):
    """Who is told what happens.

    Attributes:
        show: gets how the places are, now and then, and again when nothing has changed.
        say: gets a line about something that happened.
    """

    show: Callable[[Sequence[PlaceReport]], object]
    say: Callable[[str], object]


def supervise(
    door: Door,
    target: str,
    jobs: JobOptions,
    *,
    name: str,
    processes: int,
    screen: Screen,
    watch: bool = False,
    health: tuple[str, int] | None = None,
) -> int:
    """Keep processes running that work for a queue, until SIGTERM or SIGINT; from the main thread.

    The first signal has them drain, the second has them hand back at once.

    Args:
        door: to the bus.
        target: the agent's class as `module:Class`.
        jobs: how each process works.
        name: of the workers.
        processes: how many.
        screen: told what happens.
        watch: whether they are replaced when a source file of theirs changes.
        health: host and port of `/healthz` and `/readyz`; None for none.

    Returns:
        The exit code: 0 after a signal; 1 if the hub refuses us for good, or processes fail too often.

    Raises:
        OSError: the health port is taken; no process was started.
        ValueError: there is nothing to watch.
    """
    signals = Signals()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signals.came)
    root = root_of(target) if watch else None
    parents: list[WorkerParent] = []
    server = None if health is None else HealthServer(health, lambda: _places(parents))
    bus = door.bus()
    bus.ended.add_done_callback(lambda _ended: signals.over.try_set(ENDED))
    bus.events.attach(lambda event: _tell(event, screen))
    bus.start()
    parent = WorkerParent(
        bus,
        target,
        processes,
        jobs,
        door.environment(),
        name=name,
        given_up=lambda: None if watch else signals.over.try_set(GIVEN_UP),
    )
    parents.append(parent)
    with ExitStack() as stack:
        if health is not None and server is not None:
            stack.callback(server.stop)
            screen.say(f"health on http://{health[0]}:{server.port}/readyz")
        if root is not None:
            watching = SourceWatch(root, lambda paths: _reload(parent, paths, screen))
            watching.start()
            stack.callback(watching.stop)
        reason = _until(signals.over, parent, screen)
        _end(parent, signals, screen)
    return _farewell(bus, reason, screen)


def _places(parents: Sequence[WorkerParent]) -> list[PlaceReport]:
    """Give how the places are; before they are there, none."""
    return [place for parent in parents for place in parent.places]


def _tell(event: BusEvent, screen: Screen) -> None:
    if isinstance(event, ProcessExited):
        after = event.restart_delay
        what = "it is not replaced" if after is None else f"replaced in {after:.1f} s"
        screen.say(f"process {event.process_id} ended with {event.exit_code}; {what}")


def _reload(parent: WorkerParent, paths: list[str], screen: Screen) -> None:
    screen.say(f"{paths[0]} has changed: the processes are replaced")
    parent.reload()


def _until(done: Future[str], parent: WorkerParent, screen: Screen) -> str:
    """Show how it goes until something is done; gives that."""
    while True:
        try:
            return done.get(timeout=SHOW_INTERVAL)
        except FutureTimeoutError:
            screen.show(parent.places)


def _end(parent: WorkerParent, signals: Signals, screen: Screen) -> None:
    """Let the processes drain; a further signal hurries them."""
    signals.hurry.add_done_callback(lambda _hurry: parent.stop())
    gone: Future[str] = Future()
    parent.stop().add_done_callback(lambda _stopped: gone.try_set(ENDED))
    _until(gone, parent, screen)


def _farewell(bus: Bus, reason: str, screen: Screen) -> int:
    error = bus.ended.exception() if bus.ended.done() else None
    try:
        bus.close().get(timeout=CLOSE_TIMEOUT)
    except (AgentBusError, FutureTimeoutError) as problem:
        screen.say(str(problem))
    if reason == ENDED and error is not None:
        screen.say(str(error))
    elif reason == GIVEN_UP:
        screen.say("the processes have failed too often")
    return 1 if reason in {ENDED, GIVEN_UP} else 0
