"""What a bus reports while it runs: `for event in bus.events.listen(): …`."""

from __future__ import annotations

import enum
from collections.abc import Callable
from traceback import format_exception
from typing import Any

import msgspec

from agentbus.agents.outcome import Outcome
from agentbus.runtime import Future


class BusEvent(msgspec.Struct, frozen=True):
    """Root of the events of a bus."""


class DeathReason(enum.StrEnum):
    """What made a node dead. The first three are certain; the last is what silence comes to in the end."""

    GOODBYE = "goodbye"
    REPLACED = "replaced"
    EXITED = "exited"
    SILENT = "silent"


class NodeUp(BusEvent, frozen=True):
    """A node became known. Attributes: its id and its life."""

    node: str
    incarnation: str


class NodeSuspect(BusEvent, frozen=True):
    """A node's connection is gone. It may be back in a moment: nothing is given up yet."""

    node: str
    incarnation: str


class NodeBack(BusEvent, frozen=True):
    """A suspect node showed a sign of life."""

    node: str
    incarnation: str


class NodeDead(BusEvent, frozen=True):
    """A life of a node is over for good; messages to it have their outcome now."""

    node: str
    incarnation: str
    reason: DeathReason


class AgentsChanged(BusEvent, frozen=True):
    """A node hosts other agents than before."""

    node: str


class BusConnected(BusEvent, frozen=True):
    """The bus has a connection and has joined its namespace."""

    reconnected: bool


class BusDisconnected(BusEvent, frozen=True):
    """The connection is gone.

    Attributes:
        close_code: how it ended.
        will_retry: whether the bus goes on trying; if not, it is closed.
    """

    close_code: int
    will_retry: bool


class NodeReborn(BusEvent, frozen=True):
    """This node was declared dead while it was away and goes on as a new life of itself."""

    node: str
    incarnation: str


class AgentStarted(BusEvent, frozen=True):
    """An agent runs."""

    address: str


class AgentFailure(BusEvent, frozen=True):
    """A handler of an agent raised.

    Attributes:
        address: the agent.
        message_type: what it was working on; empty if it failed outside any message.
        error: qualified name of the exception and its text.
        traceback: where.
        error_type: qualified name of the exception, with its module unless it is a builtin.
    """

    address: str
    message_type: str
    error: str
    traceback: str
    error_type: str = ""


class AgentRestarting(BusEvent, frozen=True):
    """An agent will be started again. Attributes: `delay` in seconds."""

    address: str
    delay: float


class AgentPaused(BusEvent, frozen=True):
    """An agent takes no messages until it is resumed."""

    address: str


class AgentResumed(BusEvent, frozen=True):
    """An agent takes messages again."""

    address: str


class AgentGaveUp(BusEvent, frozen=True):
    """An agent failed too often, or may not be restarted, and has stopped."""

    address: str
    error: str


class AgentEnded(BusEvent, frozen=True):
    """An agent has stopped."""

    address: str


class ProcessStarted(BusEvent, frozen=True):
    """A process of a fleet was started. Attributes: its place in the fleet, its process id, its node id."""

    place: int
    process_id: int
    node: str


class ProcessExited(BusEvent, frozen=True):
    """A process of a fleet ended.

    Attributes:
        place: in the fleet.
        process_id: which one.
        node: the node it was.
        exit_code: negative for a signal.
        restart_delay: seconds until the next one is started; None if none will be.
    """

    place: int
    process_id: int
    node: str
    exit_code: int
    restart_delay: float | None


class AgentProgress(BusEvent, frozen=True):
    """An agent says how far it is.

    Attributes:
        address: which.
        note: for people.
        done: how much is done, 0 to 1; None if it does not say.
    """

    address: str
    note: str
    done: float | None = None


class AgentStalled(BusEvent, frozen=True):
    """An agent has been busy with one message for its `stall_timeout` without a mark of progress.

    Attributes:
        address: which.
        message_type: what it is working on.
        seconds: since it began or last marked.
        restarting: whether it is being cancelled and restarted; a thread only once its handler ends.
    """

    address: str
    message_type: str
    seconds: float
    restarting: bool = False


class AgentRecovered(BusEvent, frozen=True):
    """A stalled agent has marked progress, or ended its work.

    Attributes:
        address: which.
        message_type: what it was stalled with.
        seconds: since it began with that.
    """

    address: str
    message_type: str
    seconds: float


class QueueHostEnded(BusEvent, frozen=True):
    """This bus hosts a queue no more, against its will. Attributes: the queue's name; why, in words."""

    queue: str
    reason: str


class SchedulesHeldUp(BusEvent, frozen=True):
    """A queue that this bus hosts is too full for its schedules; what is due is put once there is room.

    It is said once for each schedule, until that could be put again.

    Attributes:
        queue: its name.
        schedules: names of those that wait.
        reason: why, in words.
    """

    queue: str
    schedules: tuple[str, ...]
    reason: str


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that nobody handled, or whose handling failed.

    Attributes:
        address: of its recipient.
        message_type: wire name.
        reason: a stable word: "stopped", "failed", "restarted", "dropped_oldest", "dropped_newest",
            "mailbox_full", "no_such_agent", "undecodable", "unhandled", "not_trusted", "hop_limit",
            "body_too_large", "budget_exhausted", "closed".
        message: what was sent; a `Body` if nobody decoded it.
        sender: address of the agent that sent it, or None.
        error: what was raised, if anything was.
        again: sends it once more; see `resend`.
    """

    address: str
    message_type: str
    reason: str
    message: Any
    sender: str | None = None
    error: BaseException | None = None
    again: Callable[[DeadLetter], Future[Outcome]] | None = None

    @property
    def traceback(self) -> str:
        """Where that was raised, as text; empty if nothing was."""
        return "" if self.error is None else "".join(format_exception(self.error))

    def resend(self) -> Future[Outcome]:
        """Tell the message to its recipient once more; see `DeadLetters.resend`.

        Raises:
            ValueError: this letter is none of a bus's.
        """
        if self.again is None:
            raise ValueError("this letter comes from no bus; give it to the dead_letters of one")
        return self.again(self)
