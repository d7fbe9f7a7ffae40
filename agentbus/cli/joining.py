"""A node for one command: joined before the work, gone after it, and trusted by those that it talks to."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec

import typer
from msgspec import Struct

from agentbus.cli.doctor.token import claims_of
from agentbus.cli.exits import failed
from agentbus.cli.options import (
    DEFAULT_URL,
    Access,
    Json,
    Key,
    Namespace,
    Timeout,
    Token,
    Trust,
    TrustOption,
    Url,
    access,
)
from agentbus.errors import FutureTimeoutError
from agentbus.protocol import CloseCode

if TYPE_CHECKING:
    from agentbus.agents import Bus, BusEvent
    from agentbus.agents.queues.handle import Queue

P = ParamSpec("P")

APPEARS_WITHIN = 1.0
"""Seconds that a queue gets to be listed: its host may just have started."""

_CLOSE_TIMEOUT = 5.0

QueueName = Annotated[str, typer.Argument(metavar="QUEUE", help="Its name.", show_default=False)]


class Door(Struct, frozen=True):
    """How a command gets to the agents of a namespace, and how it answers.

    Attributes:
        wanted: the hub and the credential.
        namespace: whose agents it meets.
        trust: whom its node believes; None for what suits the hub.
        timeout: seconds that an answer may take.
        json: whether it prints JSON.
    """

    wanted: Access
    namespace: str
    trust: Trust | None
    timeout: float
    json: bool


def _options(
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    namespace: Namespace = "default",
    trust: TrustOption = None,
    timeout: Timeout = 5.0,
    json: Json = False,
) -> Door:
    return Door(access(url, key, token), namespace, trust, timeout, json)


def as_node(
    command: Callable[Concatenate[Door, P], None], *, leave_out: tuple[str, ...] = ()
) -> Callable[..., None]:
    """Give a command the options of `Door` behind its own; it gets the door as its first argument.

    Args:
        command: the function.
        leave_out: names of options that mean nothing to it.
    """
    _first, *own = inspect.signature(command, eval_str=True).parameters.values()
    whole = inspect.signature(_options, eval_str=True).parameters
    shared = {name: each for name, each in whole.items() if name not in leave_out}

    def run(**given: Any) -> None:
        door = _options(**{name: given.pop(name) for name in shared})
        command(door, **given)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] -- of its signature

    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *shared.values())]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess] -- as inspect documents it
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    run.__doc__ = command.__doc__
    return run


@contextmanager
def joined(door: Door) -> Generator[Bus]:
    """Be a node for the length of a block.

    Raises:
        typer.Exit: the hub is not there, or the credential is none of a node.
        AgentBusError: the hub refuses the credential.
    """
    bus = make_bus(door)
    check_trust(door, bus.trust)
    try:
        _join(bus, door)
        yield bus
    finally:
        with suppress(FutureTimeoutError):
            bus.close().get(timeout=_CLOSE_TIMEOUT)


def make_bus(door: Door, node: str | None = None) -> Bus:
    """Make a bus that is not started; `node` is its id, by default a fresh one."""
    from agentbus.agents import Bus

    token = door.wanted.token
    return Bus(
        door.wanted.origin.text,
        api_key=door.wanted.key,
        token_provider=None if token is None else lambda: token,
        namespace=door.namespace,
        node=node,
        trust=None if door.trust is None else door.trust.value,
    )


def check_trust(door: Door, mode: str) -> None:
    """Refuse what no host would listen to, before it is asked in vain.

    Raises:
        typer.Exit: the credential is none of a node, and others believe those alone.
    """
    if mode == "all":
        return
    metadata = claims_of(door.wanted.token or "").get("peerMetadata")
    from agentbus.agents.trust import Trust as TrustRule

    if not TrustRule("tokens", door.namespace).is_node(metadata):
        raise failed(
            f"queues listen to nodes of their namespace alone, and this credential is none of one: take a "
            f"token of `agentbus token PEER --node --namespace {door.namespace}` or --trust all"
        )


def _join(bus: Bus, door: Door) -> None:
    from agentbus.agents import BusDisconnected
    from agentbus.runtime import Future

    lost: Future[int] = Future()

    def heard(event: BusEvent) -> None:
        if isinstance(event, BusDisconnected) and event.will_retry:
            lost.try_set(event.close_code)

    listening = bus.events.subscribe(heard)
    started = bus.start()
    started.add_done_callback(lambda _started: lost.try_set(0))
    try:
        code = lost.get(timeout=door.timeout)
    except FutureTimeoutError:
        raise failed(f"{door.wanted.origin.text} took longer than {door.timeout:g} s") from None
    finally:
        listening.cancel()
    if code:
        why = CloseCode.of(code).explanation
        raise failed(
            f"no connection to {door.wanted.origin.text}: {why}; `agentbus doctor` tries step by step"
        )
    started.get()


# -- queues --------------------------------------------------------------------------------------------------


def queue_names(bus: Bus) -> list[str]:
    """Give the names of the queues that are hosted now."""
    return list(bus.outlook().queues)


def find_queue(bus: Bus, name: str) -> Queue:
    """Give a queue that is hosted somewhere.

    Raises:
        typer.Exit: there is none of that name.
    """
    from agentbus.agents.queues.absence import why_silent
    from agentbus.agents.queues.names import query_for

    query = query_for(name)
    try:
        bus.wait_for(capability=query.capability, metadata=query.metadata).get(timeout=APPEARS_WITHIN)
    except FutureTimeoutError:
        raise failed(why_silent(name, bus.outlook())) from None
    return bus.queue(name)
