"""Language models for agents: streaming, tools, limits of a whole fleet. Needs the extra `llm`.

It stands on the `openai` library, and so on any endpoint that speaks the chat completions API.
"""

from __future__ import annotations

from agentbus.llm.answer import Answer, ToolCall, Usage
from agentbus.llm.ledger import Quota
from agentbus.llm.limiter import Acquire, Permit, RateLimiter, Release
from agentbus.llm.model import Model, ModelStream
from agentbus.llm.prices import Prices
from agentbus.llm.tools import Toolbox

__all__ = [
    "Acquire",
    "Answer",
    "Model",
    "ModelStream",
    "Permit",
    "Prices",
    "Quota",
    "RateLimiter",
    "Release",
    "ToolCall",
    "Toolbox",
    "Usage",
]
