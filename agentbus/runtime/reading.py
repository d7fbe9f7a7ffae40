"""`Readable`: what every stream has in common for `for`, `async for`, `with` and `async with`."""

from __future__ import annotations

from typing import Protocol, Self, TypeVar

from agentbus.errors import StreamClosedError

T_co = TypeVar("T_co", covariant=True)


class Stream(Protocol[T_co]):
    """What a stream brings itself, with its own `__anext__`."""

    def get(self, timeout: float | None = None) -> T_co:
        """Wait for the next item; a `StreamClosedError` is the end."""
        ...

    def close(self) -> None:
        """Want no more."""
        ...


class Readable:
    """A stream that is read item by item; leaving its block closes it."""

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self: Stream[T_co]) -> T_co:
        try:
            return self.get()
        except StreamClosedError:
            raise StopIteration from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self: Stream[object], *_exc_info: object) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self: Stream[object], *_exc_info: object) -> None:
        self.close()
