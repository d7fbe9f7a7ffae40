"""Budgets: what a message may use up, with everything that it causes; checked before the work."""

from __future__ import annotations

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.budget import Budget

__all__ = [
    "Budget",
    "BudgetAccount",
]
