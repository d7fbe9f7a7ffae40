"""What is told of nodes: their lives, and the letters between them, as sender and recipient saw them."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from agentbus.agents.events import BusEvent
from agentbus.agents.outcome import Outcome


@dataclass(eq=False)
class LifeLog:
    """One life of a node: one process, from its start to its end.

    Attributes:
        node: the node's id, which it shares with the lives before and after.
        number: counts the lives of that node, from 1.
        began_at: virtual time.
        started_at: when it had joined its namespace; None if it never did.
        killed_at: when its process was killed, if it was.
        closing_at: when its program closed the bus, if it did.
        closed_at: when that was done.
        ended_with: what ended the bus against its program's will, if anything did.
        ended_at: when that was.
        events: what the bus reported, with the time.
        buried: names of the letters that the bus published as dead letters.
    """

    node: str
    number: int
    began_at: float
    started_at: float | None = None
    killed_at: float | None = None
    closing_at: float | None = None
    closed_at: float | None = None
    ended_with: BaseException | None = None
    ended_at: float | None = None
    events: list[tuple[float, BusEvent]] = field(default_factory=list[tuple[float, BusEvent]])
    buried: list[str] = field(default_factory=list[str])

    def __str__(self) -> str:
        return f"{self.node}-{self.number}"

    @property
    def over(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return any(what is not None for what in (self.killed_at, self.closing_at, self.ended_with))


@dataclass(eq=False)
class Letter:
    """One message to an agent, and what became of it as far as its sender was told.

    Attributes:
        name: unique in the world; it travels in the message.
        sender: the life that sent it.
        to: the recipient, as `node/agent`.
        ask: whether a reply was asked for.
        timeout: seconds that it has; None = for ever.
        fails: whether its handler is told to raise.
        nested: whether a handler sent it, which may be cancelled, and its questions with it.
        sent_at: virtual time.
        done_at: when its future was resolved; None if it never was.
        cancelled_at: when its sender gave it up, if it did before there was an outcome.
        outcome: what became of a tell.
        reply: what an ask was answered with.
        error: what the future failed with, if it did.
    """

    name: str
    sender: LifeLog
    to: str
    ask: bool
    timeout: float | None
    fails: bool
    nested: bool
    sent_at: float
    done_at: float | None = None
    cancelled_at: float | None = None
    outcome: Outcome | None = None
    reply: str | None = None
    error: BaseException | None = None

    def __str__(self) -> str:
        verb = "ask" if self.ask else "tell"
        return f"{verb} {self.name} from {self.sender} to {self.to} at {self.sent_at:.3f}"


class Handling(msgspec.Struct):
    """One letter in the hands of an agent.

    Attributes:
        letter: its name.
        life: where.
        agent: the agent's name.
        began_at: virtual time.
        ended_at: when its handler returned or raised; None if it never did.
        raised: whether it raised.
    """

    letter: str
    life: LifeLog
    agent: str
    began_at: float
    ended_at: float | None = None
    raised: bool = False
