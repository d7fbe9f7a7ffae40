"""Puts an answer together from the chunks of a stream. Pure, but for the library's types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentbus.llm.answer import Answer, ToolCall, Usage, estimate_text

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk

MAX_TOOL_CALLS = 128


class Pieces:
    """What has come of one answer so far.

    Args:
        prompt_tokens: the estimate, for endpoints that count nothing.
    """

    def __init__(self, prompt_tokens: int) -> None:
        self._prompt_tokens = prompt_tokens
        self._texts: list[str] = []
        self._calls: dict[int, list[str]] = {}
        self._usage: Usage | None = None
        self._finish_reason = ""

    def take(self, chunk: ChatCompletionChunk) -> str:
        """Take a chunk; gives the words in it."""
        if chunk.usage is not None:
            self._usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        if not chunk.choices:
            return ""
        choice = chunk.choices[0]
        self._finish_reason = choice.finish_reason or self._finish_reason
        for call in choice.delta.tool_calls or ():
            self._take_call(call.index, call.id, call.function)
        text = choice.delta.content or ""
        self._texts.append(text)
        return text

    def _take_call(self, index: int, number: str | None, function: Any) -> None:
        if index not in self._calls and len(self._calls) >= MAX_TOOL_CALLS:
            return
        parts = self._calls.setdefault(index, ["", "", ""])
        parts[0] = number or parts[0]
        if function is not None:
            parts[1] = function.name or parts[1]
            parts[2] += function.arguments or ""

    def answer(self) -> Answer:
        """Give what there is."""
        text = "".join(self._texts)
        said = text + "".join(parts[2] for parts in self._calls.values())
        guessed = Usage(self._prompt_tokens, estimate_text(said), exact=False)
        calls = tuple(ToolCall(*parts) for _index, parts in sorted(self._calls.items()))
        return Answer(text, calls, self._usage or guessed, self._finish_reason)


def answer_of(completion: ChatCompletion, prompt_tokens: int) -> Answer:
    """Read a whole answer."""
    if not completion.choices:
        return Answer("", usage=Usage(prompt_tokens, 0, exact=False))
    choice = completion.choices[0]
    text = choice.message.content or ""
    calls = tuple(
        ToolCall(call.id, call.function.name, call.function.arguments)
        for call in choice.message.tool_calls or ()
        if call.type == "function"
    )
    said = text + "".join(call.arguments for call in calls)
    usage = Usage(prompt_tokens, estimate_text(said), exact=False)
    if completion.usage is not None:
        usage = Usage(completion.usage.prompt_tokens, completion.usage.completion_tokens)
    return Answer(text, calls, usage, choice.finish_reason or "")
