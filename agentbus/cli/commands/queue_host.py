"""`agentbus queue host`: host a queue in this process, until a signal."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from agentbus.cli import console
from agentbus.cli.exits import failed, misused
from agentbus.cli.joining import Door, QueueName, check_trust, make_bus

if TYPE_CHECKING:
    from agentbus.agents import Bus, BusEvent
    from agentbus.agents.queues.core.options import QueueOptions
    from agentbus.agents.queues.handle import Queue
    from agentbus.runtime import Future

ENDED, SIGNALLED = "ended", "signalled"

DRAIN_TIMEOUT = 10.0
"""Seconds that a host gets to write what it has taken; a second signal ends it at once."""


def host(
    door: Door,
    name: QueueName,
    *,
    store: Annotated[
        str,
        typer.Option(
            "--store", metavar="URL", help="sqlite:///FILE, or memory:// to lose all with this process."
        ),
    ],
    node: Annotated[
        str | None,
        typer.Option(
            "--node", envvar="AGENTBUS_NODE", metavar="ID", help="This node's id; default: a fresh one."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="An option of the queue, as lease=120; may be repeated."
        ),
    ] = None,
) -> None:
    """Host a queue until Ctrl-C or SIGTERM; a second signal ends it at once.

    It prints a line once it is ready, and connects to the hub again for as long as that takes.
    """
    options = read_options(settings or [])
    bus = make_bus(door, node)
    check_trust(door, bus.trust)
    try:
        queue = bus.queue(name, store=store, options=options)
    except ValueError as error:
        raise misused(str(error)) from None
    _Host(bus, queue, door.wanted.origin.text).run()


def read_options(settings: list[str]) -> QueueOptions:
    """Read options of a queue from `NAME=VALUE`.

    Raises:
        typer.Exit: there is no such option, or it has no such value.
    """
    from agentbus.agents.queues.core.options import QueueOptions

    given: dict[str, str] = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in QueueOptions.__struct_fields__:
            known = ", ".join(QueueOptions.__struct_fields__)
            raise misused(f"--set takes NAME=VALUE, not {setting!r}; the names are {known}")
        given[name] = value
    try:
        return msgspec.convert(given, QueueOptions, strict=False)
    except msgspec.ValidationError as error:
        raise misused(f"--set: {error}") from None


class _Host:
    """One run of the command.

    Args:
        bus: not started yet.
        queue: hosted by it.
        hub: where the hub is.
    """

    def __init__(self, bus: Bus, queue: Queue, hub: str) -> None:
        from agentbus.runtime import Future

        self._bus = bus
        self._queue = queue
        self._hub = hub
        self._over: Future[str] = Future()
        self._lost = False

    def run(self) -> None:
        """Host it until a signal, or until it ends by itself.

        Raises:
            typer.Exit: it could not be hosted, or not any more.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self._bus.events.attach(self._heard)
        for each in (self._queue.ended, self._bus.ended):
            each.add_done_callback(lambda _ended: self._over.try_set(ENDED))
        self._queue.ready.add_done_callback(self._ready)
        console.say(f"agentbus queue host: {self._queue.name} at {self._hub}; Ctrl-C ends")
        problem = self._problem() if self._over.get() == ENDED else None
        self._bus.drain(DRAIN_TIMEOUT).get()
        if problem is not None:
            raise failed(str(problem))

    def _signalled(self, *_signal: object) -> None:
        if not self._over.try_set(SIGNALLED):
            self._bus.close()

    def _ready(self, ready: Future[None]) -> None:
        if ready.exception() is None:
            console.say(f"agentbus queue host: {self._queue.name} is ready")
        else:
            self._over.try_set(ENDED)

    def _problem(self) -> BaseException | None:
        for each in (self._queue.ready, self._queue.ended, self._bus.ended):
            error = each.exception() if each.done() else None
            if error is not None:
                return error
        return None

    def _heard(self, event: BusEvent) -> None:
        from agentbus.agents import BusConnected, BusDisconnected

        if isinstance(event, BusDisconnected) and event.will_retry and not self._lost:
            self._lost = True
            console.say(f"agentbus queue host: no connection to {self._hub}; trying again until there is one")
        elif isinstance(event, BusConnected) and self._lost:
            self._lost = False
            console.say(f"agentbus queue host: connected to {self._hub}")
