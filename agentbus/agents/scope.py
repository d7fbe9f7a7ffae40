"""What the running code is part of: which agent, and which message of it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from agentbus.agents.agent import AgentContext
    from agentbus.agents.budgets.account import BudgetAccount
    from agentbus.agents.delivery import Delivery


class Scope(msgspec.Struct, eq=False):
    """An agent at work.

    Attributes:
        agent: which.
        delivery: the message that it handles; None in its hooks.
        starting: whether it starts, and messages wait until it has.
        task: the task that it starts in; None on a thread, and when it does not start.
    """

    agent: AgentContext
    delivery: Delivery | None
    starting: bool = False
    task: asyncio.Task[Any] | None = None

    @property
    def account(self) -> BudgetAccount | None:
        """The account that pays for the message that is handled, if it has a budget."""
        return None if self.delivery is None else self.delivery.headers.budget


current_scope: ContextVar[Scope | None] = ContextVar("agentbus_current_scope", default=None)
"""The agent and the message that the running code belongs to."""
