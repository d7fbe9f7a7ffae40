"""A client on virtual time, and a hub that follows a script: both over the in-memory transport."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import random
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import parse_qs

from agentbus.client import SignallingClient, SignallingClientOptions
from agentbus.client.options import SignallingClientFields
from agentbus.client.payloads import Event
from agentbus.runtime import Future, Runtime, VirtualLoop, virtual_sleep
from agentbus.wire import Flusher, MemoryListener, Reject, ServerConnection, ServerOptions, UpgradeRequest
from agentbus.wire.client import ClientOptions
from agentbus.wire.memory import memory_dialler

T = TypeVar("T")
E = TypeVar("E", bound=Event)
Frame = dict[str, Any]
KEY = "pk_live_sesame-0123456789"
WELCOME: Frame = {
    "type": "welcome",
    "peerId": "me",
    "expiresAt": None,
    "serverTime": 1_735_689_600,
    "maxMessageSize": 65_536,
}


class Session:
    """One connection, as the hub sees it."""

    def __init__(self, hub: ScriptedHub) -> None:
        self.hub = hub
        self.query: dict[str, list[str]] = {}
        self.received: list[Frame] = []
        self.closed: tuple[int, str] | None = None
        self.connected_at = 0.0
        self._connection: HubConnection | None = None

    @property
    def connection(self) -> HubConnection:
        assert self._connection is not None
        return self._connection

    def of_type(self, kind: str) -> list[Frame]:
        return [frame for frame in self.received if frame["type"] == kind]

    def send(self, **frame: Any) -> None:
        self.connection.send_text(json.dumps(frame).encode())

    def message(self, channel: str, data: Any, **more: Any) -> None:
        self.send(type="message", channel=channel, **{"from": "peer-1"}, data=data, **more)

    def ack(self, frame: Frame) -> None:
        if "requestId" in frame:
            self.send(type="ack", requestId=frame["requestId"])

    def refuse(self, frame: Frame, code: str, message: str = "no") -> None:
        self.send(type="error", requestId=frame["requestId"], code=code, message=message)

    def close(self, code: int, reason: str = "") -> None:
        self.connection.close(code, reason)

    def cut(self) -> None:
        """Lose the connection without a goodbye."""
        self.connection.abort()

    # -- what the connection tells ---------------------------------------------------------------------------

    def on_request(self, request: UpgradeRequest, /) -> Reject | None:
        self.query = parse_qs(request.query)
        return self.hub.on_request(self)

    def on_open(self, connection: ServerConnection, /) -> None:
        assert isinstance(connection, HubConnection)
        self._connection = connection
        self.connected_at = self.hub.loop.time()
        self.hub.on_open(self)

    def on_text(self, payload: bytes, /) -> None:
        frame: Frame = json.loads(payload)
        self.received.append(frame)
        self.hub.on_frame(self, frame)

    def on_binary(self, size: int, /) -> None:
        raise AssertionError("clients send no binary messages")

    def on_activity(self) -> None:
        pass

    def on_closed(self, code: int, reason: str, /) -> None:
        self.closed = code, reason


class HubConnection(ServerConnection):
    """A hub's end that can go deaf: then it answers nothing, closing frames included."""

    deaf = False

    def data_received(self, data: bytes) -> None:
        if not self.deaf:
            super().data_received(data)


class ScriptedHub:
    """Accepts, welcomes and acks everything, unless a test says otherwise."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.dials: list[float] = []
        self.sessions: list[Session] = []
        self.on_request: Callable[[Session], Reject | None] = lambda _session: None
        self.on_open: Callable[[Session], object] = self.welcome
        self.on_frame: Callable[[Session, Frame], object] = self.answer
        self._listener = MemoryListener(loop, self.accept)
        options = ClientOptions(mask_keys=lambda: lambda: b"\0\0\0\0")
        self._dial = memory_dialler(self._listener, options)

    def accept(self) -> HubConnection:
        """Make the hub's end of one more connection."""
        session = Session(self)
        self.sessions.append(session)
        self.dials.append(self.loop.time())
        return HubConnection(session, Flusher(self.loop), ServerOptions(ping_interval=0))

    @property
    def transport_factory(self) -> Any:
        return self._dial

    @property
    def last(self) -> Session:
        return self.sessions[-1]

    def welcome(self, session: Session) -> None:
        session.send(**WELCOME)

    def answer(self, session: Session, frame: Frame) -> None:
        if frame["type"] == "ping":
            session.send(type="pong")
            return
        session.ack(frame)
        if frame["type"] == "subscribe":
            session.send(type="presence", channel=frame["channel"], joined=[], left=[])

    def refuse_connections(self) -> None:
        self._listener.close()


class World:
    """A virtual loop, a runtime on it, a scripted hub, and the clients that a test makes."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.runtime = Runtime(loop=self.loop, random=random.Random(1), inline_callbacks=True)
        self.hub = ScriptedHub(self.loop)
        self.clients: list[SignallingClient] = []
        self._failures = 0

    def client(self, **fields: Unpack[SignallingClientFields]) -> SignallingClient:
        if "token_provider" not in fields:
            fields.setdefault("api_key", KEY)
        fields.setdefault("transport_factory", self.hub.transport_factory)
        fields.setdefault("url", "ws://localhost")
        client = SignallingClient(SignallingClientOptions(**fields), runtime=self.runtime)
        self.clients.append(client)
        return client

    async def connected(self, **fields: Unpack[SignallingClientFields]) -> SignallingClient:
        client = self.client(**fields)
        await client.connect()
        return client

    @property
    def now(self) -> float:
        return self.loop.time()

    async def settle(self) -> None:
        """Let everything happen that takes no time."""
        await self.sleep(1e-6)

    async def sleep(self, seconds: float) -> None:
        await virtual_sleep(seconds)

    def collect(self, client: SignallingClient, *kinds: type[E]) -> list[E]:
        """Give a list that the events of these kinds are appended to as they are told."""
        seen: list[E] = []
        for kind in kinds:
            client.on(kind)(seen.append)
        return seen

    def expect_failures(self, count: int) -> bool:
        """Say how many calls of callbacks are meant to raise; whether so many have by now."""
        self._failures = count
        return self.runtime.callbacks.statistics().failures == count

    # -- the end ---------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self.loop:
            for client in self.clients:
                if error is None:
                    self.loop.run_until_complete(_done(client.dispose()))
            self.loop.run_until_idle()
            if error is None:
                self._check_nothing_is_left()

    def _check_nothing_is_left(self) -> None:
        assert self.runtime.registry.get_all() == []
        assert self.runtime._closers == {}  # pyright: ignore[reportPrivateUsage] -- it is about memory
        scheduled = self.loop._scheduled  # pyright: ignore[reportPrivateUsage] -- asyncio shows its timers nowhere
        timers = [timer for timer in scheduled if not timer.cancelled()]
        assert timers == []
        assert self.runtime.callbacks.statistics().failures == self._failures


async def _done(future: Future[T]) -> T:
    return await future


async def outcome(future: Awaitable[Any]) -> Any:
    """Give what a future failed with, or its value."""
    try:
        return await future
    except Exception as error:  # noqa: BLE001 -- the outcome is what a test looks at
        return error


def on_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test, whose first argument is a `World`, on that world's loop."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with World() as world:
            world.loop.run_until_complete(test(world, *args, **kwargs))

    signature = inspect.signature(test)
    others = list(signature.parameters.values())[1:]
    run.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]
    return run


def running(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.get_running_loop().create_task(coroutine)
