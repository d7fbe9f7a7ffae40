"""Cells that share one restart policy, and under ONE_FOR_ALL one fate."""

from __future__ import annotations

import threading
from typing import Protocol

from agentbus.runtime.cell_life import SiblingFailure
from agentbus.runtime.supervision import GiveUp, RandomSource, Restart, RestartPolicy, Supervision


class Member(Protocol):
    """A cell, as its group knows it."""

    def sibling_failed(self, failure: SiblingFailure) -> None:
        """Learn that another member failed, and what was decided; from any thread."""
        ...


class CellGroup:
    """Members under one policy; they may live on different threads and loops.

    Under ONE_FOR_ALL a member's failure restarts all, after the same delay, each with its mailbox as it is;
    one failure too many of any member ends all. Under ONE_FOR_ONE the members just share the rules.

    Args:
        policy: the rules.
        random: draws the jitter.
    """

    def __init__(self, policy: RestartPolicy, random: RandomSource) -> None:
        self.policy = policy
        self._supervision = Supervision(policy, random)
        self._members: dict[int, Member] = {}
        self._lock = threading.Lock()

    def join(self, member: Member) -> None:
        """Count a member from now on."""
        with self._lock:
            self._members[id(member)] = member
            self._supervision.join(id(member))

    def leave(self, member: Member) -> None:
        """Forget a member that has ended."""
        with self._lock:
            self._members.pop(id(member), None)
            self._supervision.leave(id(member))

    def failed(self, member: Member, error: BaseException, now: float) -> Restart | GiveUp:
        """Judge a member's failure at `now`, and tell the others if it concerns them."""
        with self._lock:
            decision = self._supervision.failed(id(member), now)
            others = [self._members[int(key)] for key in decision.children if key != id(member)]  # type: ignore[call-overload]
        failure = SiblingFailure(error, decision.verdict)
        for other in others:
            other.sibling_failed(failure)
        return decision.verdict
