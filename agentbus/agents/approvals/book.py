"""The stored agent behind a desk: it keeps the requests, one message at a time, durable before it answers."""

from __future__ import annotations

from typing import Any

import msgspec

from agentbus.agents.agent import AsyncAgentActor
from agentbus.agents.approvals.messages import (
    AwaitVerdict,
    Decide,
    ListPending,
    RequestApproval,
    Verdict,
)
from agentbus.agents.approvals.register import AuditEntry, Register, State
from agentbus.agents.handlers import handles
from agentbus.agents.message import Message, Request
from agentbus.agents.silence import ReceiveTimeout
from agentbus.errors import ApprovalError, NotTrustedError

LOOK_INTERVAL = 60.0
"""Seconds between looks at the wall clock while something waits, as that clock may be set."""


class Page(msgspec.Struct, frozen=True):
    """What the book answers; it never leaves the process.

    Attributes:
        answer: to the message.
        error: instead of an answer.
        news: what has happened since what the desk has logged.
        settled: the verdicts among the news.
    """

    answer: Any
    error: ApprovalError | None
    news: list[AuditEntry]
    settled: list[Verdict]


class Turn(Request[Page], wire_name="agentbus.approvals.Turn"):
    """A message to the desk, as the book gets it.

    Attributes:
        message: None to hear the news only.
        sender: the agent that sent it to the desk.
        logged: the number of the last audit entry that the desk has logged.
    """

    message: Any
    sender: str | None
    logged: int


class Overdue(Message, wire_name="agentbus.approvals.Overdue"):
    """Something has expired: the desk should hear the news."""


class ApprovalBook(AsyncAgentActor):
    """Keep the requests of a desk.

    Args:
        desk: the address of the only agent that it listens to.
        deciders: see `Register`.
    """

    def __init__(self, desk: str, deciders: frozenset[str]) -> None:
        self._desk = desk
        self._deciders = deciders
        self._register = Register(deciders)

    def snapshot(self) -> Any:
        """Give all requests that are remembered, and the audit."""
        return msgspec.to_builtins(self._register.state())

    def restore(self, state: Any) -> None:
        """Go on from there."""
        self._register = Register(self._deciders, msgspec.convert(state, State))

    @handles(raises=(NotTrustedError,))
    def turn(self, turn: Turn) -> Page:
        """Answer the desk, and tell it the news."""
        if self.sender is None or str(self.sender) != self._desk:
            raise NotTrustedError("this agent listens to its approval desk only")
        answer, error = None, None
        try:
            answer = self._answer(turn.message, turn.sender)
        except ApprovalError as refusal:
            error = refusal
        self._register.logged = max(self._register.logged, turn.logged)
        news = self._register.audit_after(self._register.logged)
        self._wind_up()
        return Page(answer, error, news, self._register.verdicts(news))

    def _answer(self, message: Any, sender: str | None) -> Any:
        now = self.clock.wall()
        match message:
            case RequestApproval():
                return self._register.request(message, sender, now)
            case Decide():
                return self._register.decide(message, sender, now)
            case ListPending():
                return self._register.pending(now)
            case AwaitVerdict():
                return self._register.look(message.key, now)
            case _:
                return self._register.expire(now)

    def _wind_up(self) -> None:
        """Look again when something expires."""
        at = self._register.next_expiry
        if at is None:
            self.set_receive_timeout(None)
        else:
            self.set_receive_timeout(min(max(at - self.clock.wall(), 0.001), LOOK_INTERVAL))

    @handles
    def silent(self, _silence: ReceiveTimeout) -> None:
        """Settle what has expired; the desk hears of it by asking, so not before it is durable."""
        self._register.expire(self.clock.wall())
        self._wind_up()
        self.bus.ref(self._desk).tell(Overdue())
