"""A client of a simulated world: a real `SignallingClient` in a process of its own, and its account."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import msgspec

from agentbus.client import (
    ChannelMessage,
    DirectMessage,
    DisconnectedEvent,
    SignallingClient,
    SignallingClientOptions,
)
from agentbus.errors import ClientDisposedError
from agentbus.protocol import ReconnectOptions
from agentbus.runtime import EventStream, Future, Loop
from agentbus.testing.simulation import tokens
from agentbus.testing.simulation.doorway import ClientDoorway
from agentbus.testing.simulation.hub import ORIGIN
from agentbus.testing.simulation.plan import ClientSpec, TokenMood
from agentbus.testing.simulation.process import Process
from agentbus.testing.simulation.record import Attempted, Call, Called, Entry, Heard
from agentbus.wire import Target, Transport, TransportHandler

if TYPE_CHECKING:
    from agentbus.testing.simulation.stage import Stage


class ProviderBrokeError(Exception):
    """What a failing token provider raises."""


class SimulatedClient:
    """One client, its program, and what both saw.

    Args:
        stage: the world around it.
        spec: its options.

    Attributes:
        entries: its account, in order.
        calls: every call of the program.
        mood: how its token provider behaves now.
        close_on_loss: close from inside the handler of the next disconnected event.
    """

    def __init__(self, stage: Stage, spec: ClientSpec) -> None:
        self._stage = stage
        self.spec = spec
        self.name = spec.name
        self.process = Process(stage.loop, spec.name, f"{stage.seed} client {spec.name}")
        self.mood = spec.mood
        self.entries: list[Entry] = []
        self.calls: list[Call] = []
        self.close_on_loss = False
        self._tickets = 0
        self._payloads = 0
        self._dial = stage.network.dialler(spec.name)
        self.client = SignallingClient(self._options(), runtime=self.process.runtime)
        self.process.loop.perform(self._begin)

    def _begin(self) -> None:
        self.process.loop.create_task(self._listen(), name=f"{self.name} listens")

    def _options(self) -> SignallingClientOptions:
        spec = self.spec
        keyed = spec.peer is None
        provider = self._provide_async if spec.async_provider else self._provide
        return SignallingClientOptions(
            api_key=tokens.PUBLISHABLE_KEY if keyed else None,
            token_provider=None if keyed else provider,
            url=ORIGIN,
            logger=self._logger(),
            auto_reconnect=spec.auto_reconnect,
            reconnect=self.reconnect_options(),
            inactivity_timeout=spec.inactivity_timeout,
            auto_resubscribe=spec.auto_resubscribe,
            size_check=spec.size_check,
            transport_factory=self._connect_transport,
        )

    def reconnect_options(self) -> ReconnectOptions:
        """Give its backoff."""
        spec = self.spec
        return ReconnectOptions(
            initial_delay=spec.initial_delay,
            max_delay=spec.max_delay,
            max_attempts=spec.max_attempts,
            jitter_ratio=spec.jitter_ratio,
        )

    def _logger(self) -> logging.Logger:
        logger = logging.Logger(f"simulation.{self.name}", logging.INFO)  # noqa: LOG001 -- nobody else's
        logger.addHandler(_ToTrace(self._note))
        return logger

    # -- what the program does ---------------------------------------------------------------------------

    def call(
        self, verb: str, target: str, ask: Callable[[], Future[Any]], payload: str | None = None
    ) -> None:
        """Have the program make a call, once its process runs.

        Args:
            verb: the client's method.
            target: the channel or the peer.
            ask: makes the call and gives its future.
            payload: the id inside the data, if there is any.
        """
        self.process.loop.perform(self._call, verb, target, ask, payload)

    def _call(self, verb: str, target: str, ask: Callable[[], Future[Any]], payload: str | None) -> None:
        call = Call(verb, target, payload, self._now())
        self.calls.append(call)
        self.entries.append(Called(call.called_at, call))
        self._note(f"{verb} {target} {payload or ''}")
        try:
            future = ask()
        except ClientDisposedError as error:
            call.done_at, call.error = self._now(), error
            return
        future.add_done_callback(functools.partial(self._resolved, call))

    def _resolved(self, call: Call, future: Future[Any]) -> None:
        call.done_at = self._now()
        call.error = future.exception()
        outcome = "done" if call.error is None else f"{type(call.error).__name__}: {call.error}"
        self._note(f"{call.verb} {call.target} {call.payload or ''} -> {outcome}")

    def publish(self, channel: str, size: int) -> None:
        """Publish a payload like no other."""
        payload, data = self._payload(size)
        self.call("publish", channel, lambda: self.client.publish(channel, data), payload)

    def send(self, to: SimulatedClient, size: int) -> None:
        """Send a payload like no other to whom another client is now, or to nobody."""
        peer = to.client.peer_id or "nobody"
        payload, data = self._payload(size)
        self.call("send", peer, lambda: self.client.send(peer, data), payload)

    def _payload(self, size: int) -> tuple[str, dict[str, str]]:
        self._payloads += 1
        name = f"{self.name}-{self._payloads}"
        return name, {"id": name, "pad": "x" * size} if size else {"id": name}

    # -- what the program hears --------------------------------------------------------------------------

    async def _listen(self) -> None:
        stream: EventStream[Any] = self.client.events(capacity=100_000)
        async for event in stream:
            self._heard(event)

    def _heard(self, event: msgspec.Struct) -> None:
        self.entries.append(Heard(self._now(), event))
        self._note(f"hears {_describe(event)}")
        if isinstance(event, DisconnectedEvent) and self.close_on_loss:
            self.close_on_loss = False
            self._call("close", "", self.client.close, None)

    # -- what the client asks for ------------------------------------------------------------------------

    def _connect_transport(self, target: Target, handler: TransportHandler, loop: Loop) -> Transport:
        if self.spec.peer is None:
            self.entries.append(Attempted(self._now()))
        self._note("dials")
        return self._dial(target, ClientDoorway(handler, self.process.loop), loop)

    async def _provide_async(self) -> str:
        mood = self._asked()
        if mood.delay:
            await asyncio.sleep(mood.delay)
        return self._token(mood)

    def _provide(self) -> str:
        return self._token(self._asked())

    def _asked(self) -> TokenMood:
        self.entries.append(Attempted(self._now()))
        self._note("asks for a token")
        return self.mood

    def _token(self, mood: TokenMood) -> str:
        if mood.fails:
            raise ProviderBrokeError("the backend is down")
        self._tickets += 1
        expires_at = int(self._stage.loop.clock.wall()) + mood.lifetime
        ticket = f"{self.name}-{self._tickets}"
        good = functools.partial(tokens.mint, self.spec.peer or "", expires_at, ticket)
        odd: dict[str, Callable[[], Any]] = {
            "empty": str,
            "nonsense": list[str],
            "malformed": lambda: "no token at all",
            "forged": functools.partial(good, key_id=tokens.FORGED_KEY_ID),
            "powerless": functools.partial(good, channels=()),
        }
        made: Any = odd.get(mood.gives, good)()
        return cast("str", made)

    # -- small things ------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self._stage.loop.time()

    def _note(self, event: str) -> None:
        self._stage.trace.note(self.name, event)


class _ToTrace(logging.Handler):
    """Put log lines into the trace."""

    def __init__(self, note: Callable[[str], object]) -> None:
        super().__init__()
        self._note_line = note

    def emit(self, record: logging.LogRecord) -> None:
        """Note one."""
        self._note_line(f"logs {record.levelname.lower()}: {record.getMessage()}")


def _describe(event: msgspec.Struct) -> str:
    if isinstance(event, ChannelMessage | DirectMessage):
        return (
            f"{type(event).__name__} {getattr(event, 'channel', '')} from {event.sender}: {event.raw[:80]!r}"
        )
    return repr(event)


class _Payload(msgspec.Struct):
    id: str


def payload_id(data: msgspec.Raw | bytes) -> str:
    """Read the id inside data that a simulated client made."""
    return msgspec.json.decode(data, type=_Payload).id
