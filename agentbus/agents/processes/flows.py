"""Chunks beside a message that goes to a child process: of its reply, and of what is attached to it.

The parent keeps none of them. What its consumer grants goes on to the child, and what the child's handler
grants to the source:

    consumer ──credit──► parent ──credit──► child            source ◄──credit── parent ◄──credit── child
             ◄──chunks──        ◄──chunks──                         ──chunks──►        ──chunks──►

An attachment has a place to wait in both processes, so its source is up to two credits ahead of the handler.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from agentbus.agents.calls import Ask
from agentbus.agents.delivery import Delivery
from agentbus.agents.envelope import Envelope, Kind, decode_envelope, encode_envelope
from agentbus.agents.failures import Failure, describe, rebuild
from agentbus.agents.handlers import decode_reply
from agentbus.agents.processes.frames import Flow, Handle, fitting
from agentbus.agents.streams.attachment import Attachment
from agentbus.agents.streams.chunks import take_chunks
from agentbus.agents.streams.sender import ChunkSender
from agentbus.agents.streams.sources import feed
from agentbus.errors import StreamClosedError
from agentbus.runtime import Future, Loop, Runtime
from agentbus.runtime.outlet import Outlet

Post = Callable[[Flow], object]


class StreamAsk(Ask):
    """Somebody waits for chunks: the reply behind them says no more than that it is the end."""

    __slots__ = ()

    def reply(self, envelope: Envelope) -> None:
        """Take the end."""
        self._settle_budget(envelope.spent)
        self.future.try_set(None)


class ParentFlow:
    """The parent's side of one such message. On the agents' loop.

    Args:
        number: of the message.
        delivery: the message.
        ask: who waits for the answer.
        post: sends a frame to the child.
        loop: the agents' loop.
    """

    def __init__(self, number: int, delivery: Delivery, ask: Ask, post: Post, loop: Loop) -> None:
        self._number = number
        self._outlet = delivery.outlet
        self._attachment = delivery.attachment
        self._ask = ask
        self._post_frame = post
        self._loop = loop
        self._sender: ChunkSender | None = None

    def begin(self, runtime: Runtime) -> None:
        """Let credit and chunks go, behind the message itself."""
        if self._outlet is not None:
            self._outlet.forward(self._grant)
        if self._attachment is not None:
            self._sender = ChunkSender(self._loop, self._post, self._failed)
            feed(self._attachment, self._sender.outlet, self._source_ended, runtime)

    def _grant(self, limit: int) -> None:
        """Pass a grant of the consumer's on; from any thread."""
        self._loop.call_soon(self._post, Envelope("", Kind.CREDIT, credit=limit))

    def _post(self, envelope: Envelope) -> None:
        self._post_frame(Flow(self._number, fitting(encode_envelope(envelope))))

    def _failed(self, error: Exception) -> None:
        self._ask.future.try_set_exception(error)

    def _source_ended(self, error: Exception | None) -> None:
        if self._sender is not None and not self._sender.outlet.closed:
            failure = None if error is None else describe(error)
            self._sender.end(Envelope("", Kind.END, failure=failure))

    def take(self, frame: Flow) -> None:
        """Take what comes from the child."""
        envelope = decode_envelope(frame.envelope)
        if envelope.kind == Kind.CREDIT and self._sender is not None:
            self._sender.outlet.grant(envelope.credit)
        elif envelope.kind == Kind.CHUNK and self._outlet is not None:
            problem = take_chunks(envelope, self._put, self._ask.decode)
            if problem is not None:
                self._failed(problem)

    def _put(self, chunk: Any) -> bool:
        if self._outlet is not None and not self._outlet.closed:
            if not self._outlet.credit:
                return False
            self._outlet.put(chunk)
        return True

    @property
    def begun(self) -> bool:
        """Whether a chunk of the reply has come."""
        return self._outlet is not None and self._outlet.begun

    def close(self) -> None:
        """Read no more of what is attached: the message is done with."""
        if self._sender is not None:
            self._sender.outlet.close()


class ChildFlow:
    """The child's side of one such message.

    Args:
        frame: the message.
        post: sends a frame to the parent; on the agents' loop.
        loop: the agents' loop.

    Attributes:
        attachment: what the handler reads; None without.
        failure: what was wrong with a chunk, when it was too late for the handler to hear of it.
    """

    def __init__(self, frame: Handle, post: Post, loop: Loop) -> None:
        self._number = frame.number
        self._post_frame = post
        self._loop = loop
        self._future: Future[Any] = Future()
        self._sender = ChunkSender(loop, self._post, self._failed, frame.credit) if frame.credit else None
        self.attachment = Attachment(self._grant) if frame.attached else None
        self.failure: Failure | None = None

    @property
    def outlet(self) -> Outlet[Any] | None:
        """Where the handler's chunks go."""
        return None if self._sender is None else self._sender.outlet

    def begin(self, future: Future[Any]) -> None:
        """The agent has it: this is the future of what it gives."""
        self._future = future
        future.add_done_callback(self._over)

    def _over(self, _future: Future[Any]) -> None:
        if self._sender is not None:
            self._sender.outlet.close()
        if self.attachment is not None:
            self.attachment.end(StreamClosedError("the request is over, and its attachment with it"))

    def _post(self, envelope: Envelope) -> None:
        if envelope.kind == Kind.END:
            self.failure = envelope.failure
        else:
            self._post_frame(Flow(self._number, fitting(encode_envelope(envelope))))

    def _failed(self, error: Exception) -> None:
        self._future.try_set_exception(error)

    def _grant(self, limit: int) -> None:
        """Let the source go on; on the handler's thread."""
        self._loop.call_soon(self._post, Envelope("", Kind.CREDIT, credit=limit))

    def take(self, frame: Flow) -> None:
        """Take what comes from the parent."""
        envelope = decode_envelope(frame.envelope)
        if envelope.kind == Kind.CREDIT and self._sender is not None:
            self._sender.outlet.grant(envelope.credit)
        elif self.attachment is None:
            return
        elif envelope.kind == Kind.END:
            self.attachment.end(None if envelope.failure is None else rebuild(envelope.failure))
        elif (problem := take_chunks(envelope, self.attachment.put, _decode)) is not None:
            self.attachment.end(problem)

    def finish(self) -> None:
        """Send the chunks that wait, before the answer; on the agents' loop."""
        if self._sender is not None:
            self._sender.end(Envelope("", Kind.END))


def _decode(name: str, version: int, body: Any) -> Any:
    return decode_reply(name, version, body, expected=None, near=None)
