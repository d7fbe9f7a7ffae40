"""What a model said, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

Messages = str | Sequence[Mapping[str, Any]]
"""A user's text, or messages in the form of the chat completions API."""

CHARACTERS_PER_TOKEN = 3
"""On the safe side for English; other languages take more tokens per character, and fewer characters."""

TOKENS_PER_MESSAGE = 8


class Usage(msgspec.Struct, frozen=True):
    """Tokens that one request took.

    Attributes:
        prompt: of what was asked.
        answer: of what was said.
        exact: whether the endpoint counted them; otherwise we have estimated.
    """

    prompt: int = 0
    answer: int = 0
    exact: bool = True

    @property
    def total(self) -> int:
        """All of them."""
        return self.prompt + self.answer


class ToolCall(msgspec.Struct, frozen=True):
    """A model wants a tool to be called.

    Attributes:
        id: names the call in the conversation.
        name: of the tool.
        arguments: a JSON object as text, as the model wrote it: it may be wrong.
    """

    id: str
    name: str
    arguments: str


class Answer(msgspec.Struct, frozen=True):
    """What a model said.

    Attributes:
        text: its words; empty if it only calls tools.
        tool_calls: what it wants to be called.
        usage: what it cost.
        finish_reason: why it stopped, in the endpoint's words.
    """

    text: str
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish_reason: str = ""


def as_messages(messages: Messages) -> list[dict[str, Any]]:
    """Put what callers may give into the API's form."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return [dict(message) for message in messages]


def estimate(messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> int:
    """Estimate the tokens of a prompt, rather too many than too few."""
    size = sum(len(msgspec.json.encode(each)) for each in (*messages, *tools))
    return size // CHARACTERS_PER_TOKEN + TOKENS_PER_MESSAGE * (len(messages) + 1)


def estimate_text(text: str) -> int:
    """Estimate the tokens of an answer."""
    return len(text) // CHARACTERS_PER_TOKEN + 1
