"""What the running code is part of: which agent, and which message of it."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agentbus.agents.agent import AgentContext
    from agentbus.agents.budgets.account import BudgetAccount
    from agentbus.agents.delivery import Delivery


class Scope:
    """An agent at work.

    Attributes:
        agent: which.
        delivery: the message that it handles; None in its hooks.
        task: the task that it works in; None on a thread.
        waits: whether messages wait until this is done with: the agent handles one, or starts.
    """

    __slots__ = ("agent", "delivery", "task", "waits")

    def __init__(self, agent: AgentContext, delivery: Delivery | None, *, starting: bool = False) -> None:
        self.agent = agent
        self.delivery = delivery
        self.waits = starting or delivery is not None
        self.task: asyncio.Task[Any] | None = None

    @property
    def account(self) -> BudgetAccount | None:
        """The account that pays for the message that is handled, if it has a budget."""
        return None if self.delivery is None else self.delivery.headers.budget


current_scope: ContextVar[Scope | None] = ContextVar("agentbus_current_scope", default=None)
"""The agent and the message that the running code belongs to."""
