"""The root of the tree."""

from __future__ import annotations

from typing import Any, ClassVar


class AgentBusError(Exception):
    """Root of every error that agentbus raises on purpose.

    Attributes:
        follows_an_end: somebody has ended something, and this is how its work ends. A future that fails with
            it, and that nobody looks at, is no news.
    """

    follows_an_end: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle fields, so that errors cross process borders whole."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[AgentBusError], args: tuple[Any, ...], fields: dict[str, Any]) -> AgentBusError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error
