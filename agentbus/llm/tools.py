"""Tools: functions that a model may have called, described by their own annotations."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import msgspec

from agentbus.llm.answer import Answer, Messages, ToolCall, as_messages
from agentbus.llm.model import Model

Tool = Callable[..., Any]

MAX_ROUNDS = 16
"""Answers with tool calls in a row; a model that goes on calling is asked to answer without tools then."""

MAX_RESULT_CHARACTERS = 100_000


class Toolbox:
    """Functions by name, with the schema of their arguments.

        def weather(city: str, days: int = 1) -> str:
            '''The forecast for a city.'''

        answer = await Toolbox(weather).run(model, "Do I need an umbrella in Bergen?")

    A function's docstring tells the model what it is for; its annotations are the schema, and what the model
    sends is checked against them before the function is called. Bad arguments, and what a tool raises, go to
    the model as the tool's result: its text, so a tool must not raise secrets.

    Args:
        tools: sync or async functions with annotated parameters.

    Raises:
        TypeError: a parameter has no annotation, or one that has no JSON schema.
        ValueError: two tools have one name.
    """

    def __init__(self, *tools: Tool) -> None:
        self._tools: dict[str, tuple[Tool, type[msgspec.Struct]]] = {}
        for tool in tools:
            if tool.__name__ in self._tools:
                raise ValueError(f"two tools are called {tool.__name__!r}")
            self._tools[tool.__name__] = tool, _arguments_of(tool)

    def schemas(self) -> list[dict[str, Any]]:
        """Describe the tools in the API's form."""
        return [_schema_of(tool, arguments) for tool, arguments in self._tools.values()]

    async def call(self, call: ToolCall) -> str:
        """Call a tool as a model wants it; gives its result, or what went wrong, as text."""
        found = self._tools.get(call.name)
        if found is None:
            return f"error: there is no tool {call.name!r}"
        tool, arguments = found
        try:
            given = msgspec.json.decode(call.arguments or "{}", type=arguments)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return f"error: {error}"
        try:
            result = tool(**{name: getattr(given, name) for name in arguments.__struct_fields__})
            if inspect.isawaitable(result):
                result = await result
        except Exception as error:  # noqa: BLE001 -- the model is told, and may do better
            return f"error: {type(error).__name__}: {error}"
        return _as_text(result)

    async def _result_of(self, call: ToolCall) -> dict[str, Any]:
        return {"role": "tool", "tool_call_id": call.id, "content": await self.call(call)}

    async def run(self, model: Model, messages: Messages, **options: Any) -> Answer:
        """Ask a model, call what it wants called, and ask again until it answers in words.

        Args:
            model: whom to ask.
            messages: see `Model.complete`.
            options: see `Model.complete`.

        Returns:
            The last answer.
        """
        talk: list[dict[str, Any]] = as_messages(messages)
        for _ in range(MAX_ROUNDS):
            answer = await model.complete(talk, tools=self.schemas(), **options)
            if not answer.tool_calls:
                return answer
            talk.append(_called(answer))
            talk.extend([await self._result_of(call) for call in answer.tool_calls])
        return await model.complete(talk, **options)


def _arguments_of(tool: Tool) -> type[msgspec.Struct]:
    """Make the class that a tool's arguments are read as."""
    hints = get_type_hints(tool)
    fields: list[Any] = []
    for name, parameter in inspect.signature(tool).parameters.items():
        if name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"the tool {tool.__name__!r} must say by annotation what {name!r} is")
        default: Sequence[Any] = () if parameter.default is parameter.empty else (parameter.default,)
        fields.append((name, hints[name], *default))
    return msgspec.defstruct(tool.__name__, fields, kw_only=True, forbid_unknown_fields=True)


def _schema_of(tool: Tool, arguments: type[msgspec.Struct]) -> dict[str, Any]:
    (schema,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    own = components.pop(arguments.__name__, schema)
    parameters: Mapping[str, Any] = {**own, "$defs": components} if components else own
    description = inspect.getdoc(tool) or ""
    return {
        "type": "function",
        "function": {"name": tool.__name__, "description": description, "parameters": dict(parameters)},
    }


def _called(answer: Answer) -> dict[str, Any]:
    """Put an answer that calls tools into the conversation."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    return {"role": "assistant", "content": answer.text or None, "tool_calls": calls}


def _as_text(result: Any) -> str:
    text = result if isinstance(result, str) else msgspec.json.encode(result, enc_hook=str).decode()
    return text[:MAX_RESULT_CHARACTERS]
