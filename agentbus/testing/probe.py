"""A probe: an agent that takes whatever it gets, for a test to look at, and answers as the test says."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from agentbus.agents import AgentRef, AsyncAgentActor, Bus, Message, handles
from agentbus.runtime import Future

M = TypeVar("M", bound=Message)

MAX_KEPT = 10_000
"""Messages that a probe keeps; beyond it the oldest are forgotten."""

Answer = Callable[[Any], Any]


class ProbeError(AssertionError):
    """What was expected did not come, or something came that was not expected."""


class _Expectation:
    def __init__(self, kind: type[Message], future: Future[Any]) -> None:
        self.kind = kind
        self.future = future


class _Intake(AsyncAgentActor):
    """The agent behind a probe."""

    public = True

    def __init__(self, probe: Probe) -> None:
        self._probe = probe

    @handles
    def take(self, message: Message) -> Any:
        """Hand on what comes, with who sent it."""
        return self._probe.took(message, self.sender)


class Probe:
    """An agent of a bus whose mailbox a test reads.

        probe = Probe(bus)
        planner = bus.spawn(Planner, report_to=probe.ref)
        plan = await probe.expect(Plan, within=5.0)       # or .get() from a thread

    What no `expect` has taken yet waits in order, so that nothing is missed between two of them.

    Args:
        bus: where it lives.
        name: of the agent; by default a fresh one.

    Attributes:
        ref: its address, to be given to the agents under test.
        received: what has come so far and was not expected yet, oldest first.
        senders: who sent each message that has come, oldest first; None for a program.
    """

    def __init__(self, bus: Bus, name: str | None = None) -> None:
        self._runtime = bus.runtime
        self.received: deque[Message] = deque(maxlen=MAX_KEPT)
        self.senders: deque[AgentRef | None] = deque(maxlen=MAX_KEPT)
        self._waiting: list[_Expectation] = []
        self._answers: dict[type[Message], Answer] = {}
        self.ref = bus.spawn(_Intake, self, name=name)

    # -- what the test says ----------------------------------------------------------------------------------

    def answer(self, kind: type[M], answer: Callable[[M], Any]) -> None:
        """Answer messages of a type with what `answer(message)` gives; what it raises is a failure."""
        self._answers[kind] = answer

    def expect(self, kind: type[M], *, within: float = 1.0) -> Future[M]:
        """Give the future of the next message of a type; messages of other types stay for later.

        Args:
            kind: the type, or `Message` for any.
            within: seconds on the runtime's clock.

        Returns:
            The future of it; it fails with `ProbeError`, which says what came instead.
        """
        future: Future[M] = Future(cancellable_by_waiter=True)
        self._on_loop(self._expect, _Expectation(kind, future), within)
        return future

    def expect_nothing(self, kind: type[Message] = Message, *, within: float = 1.0) -> Future[None]:
        """Give the future of that time having passed without a message of a type.

        Args:
            kind: the type; by default any.
            within: seconds on the runtime's clock.

        Returns:
            The future; it fails with `ProbeError` if one came, also one that came before.
        """
        quiet: Future[None] = Future()
        came = self.expect(kind, within=within)

        def settle(done: Future[Any]) -> None:
            if done.exception() is None:
                quiet.try_set_exception(
                    ProbeError(f"{self.ref.name} got {done.get()!r} and expected nothing")
                )
            else:
                quiet.try_set(None)

        came.add_done_callback(settle)
        return quiet

    # -- on the agents' loop ---------------------------------------------------------------------------------

    def _on_loop(self, fn: Callable[..., object], *args: object) -> None:
        if self._runtime.agents.is_current():
            fn(*args)
        else:
            self._runtime.agents.call_soon(fn, *args)

    def _expect(self, expectation: _Expectation, within: float) -> None:
        for message in self.received:
            if isinstance(message, expectation.kind):
                self.received.remove(message)
                expectation.future.try_set(message)
                return
        self._waiting.append(expectation)
        timer = self._runtime.agents.call_later(within, self._too_late, expectation, within)
        expectation.future.add_done_callback(lambda _future: self._on_loop(timer.cancel))

    def _too_late(self, expectation: _Expectation, within: float) -> None:
        self._waiting.remove(expectation)
        got = ", ".join(type(message).__name__ for message in self.received) or "nothing"
        expectation.future.try_set_exception(
            ProbeError(f"{self.ref.name} got no {expectation.kind.__name__} within {within} s, but {got}")
        )

    def took(self, message: Message, sender: AgentRef | None) -> Any:
        """Take a message: for who waits for it, else to be kept; gives the answer."""
        self.senders.append(sender)
        for expectation in self._waiting:
            if isinstance(message, expectation.kind) and expectation.future.try_set(message):
                self._waiting.remove(expectation)
                break
        else:
            self.received.append(message)
        answer = self._answers.get(type(message))
        return None if answer is None else answer(message)
