"""Agents that stream, and what the tests of this folder share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from agentbus.agents import AgentActor, AsyncAgentActor, Message, Request, Streaming, handles
from agentbus.runtime import virtual_sleep
from tests.agents.cluster import Cluster


class Token(Message):
    number: int


class Count(Streaming[Token]):
    """Wants so many tokens, then perhaps a failure."""

    count: int
    fail: str = ""
    pause: float = 0.0


class Forever(Streaming[int]):
    pause: float = 0.0


class Mixed(Streaming[object]):
    pass


class Double(Request[int]):
    value: int


class Crash(Message):
    pass


class RefusedError(Exception):
    """Declared by the counter."""


class Counter(AsyncAgentActor):
    """Streams, and writes down what becomes of its generators."""

    concurrency = 2

    def __init__(self, log: list[str] | None = None) -> None:
        self.log: list[str] = [] if log is None else log

    @handles(raises=(RefusedError,))
    async def count(self, task: Count) -> AsyncIterator[Token]:
        for number in range(task.count):
            if task.pause:
                await virtual_sleep(task.pause)
            yield Token(number=number)
        if task.fail == "declared":
            raise RefusedError("no more")
        if task.fail:
            raise KeyError(task.fail)

    @handles
    async def forever(self, task: Forever) -> AsyncIterator[int]:
        number = 0
        try:
            while True:
                if task.pause:
                    await virtual_sleep(task.pause)
                yield number
                number += 1
        finally:
            await asyncio.sleep(0)  # a clean-up that awaits must come to its end
            self.log.append(f"closed after {number}")

    @handles
    async def mixed(self, _task: Mixed) -> AsyncIterator[object]:
        for chunk in (Token(number=1), Token(number=2), {"plain": [1, None]}, b"\x00\xff", "text", None):
            yield chunk

    @handles
    async def double(self, task: Double) -> int:
        return 2 * task.value

    @handles
    async def crash(self, _message: Crash) -> None:
        raise ValueError("asked to")


class SyncCounter(AgentActor):
    """Does the same with sync generators."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log: list[str] = [] if log is None else log

    @handles(raises=(RefusedError,))
    def count(self, task: Count) -> Iterator[Token]:
        for number in range(task.count):
            yield Token(number=number)
        if task.fail == "declared":
            raise RefusedError("no more")
        if task.fail:
            raise KeyError(task.fail)

    @handles
    def forever(self, _task: Forever) -> Iterator[int]:
        number = 0
        try:
            while True:
                yield number
                number += 1
        finally:
            self.log.append(f"closed after {number}")

    @handles
    def double(self, task: Double) -> int:
        return 2 * task.value


def left_over(cluster: Cluster) -> list[int]:
    """Count what all buses still keep for streams."""
    parts = [cluster.parts(bus) for bus in cluster.buses]
    return [part.streams.serving + part.exchange.waiting_asks for part in parts]
