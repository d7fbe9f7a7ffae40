"""What a credential may do: actions, and channels by pattern. Spec section 8, *Credentials and scope*."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agentbus.errors import InvalidNameError
from agentbus.hub.core.config import Action
from agentbus.protocol import ErrorCode, Pattern, check_channel, compile_pattern, is_reserved

Patterns = tuple[Pattern, ...]

_LITERAL_START = re.compile(r"(?:\\[*\\]|[^*])*")
_ESCAPED = re.compile(r"\\([*\\])")


def compile_patterns(texts: Iterable[str]) -> Patterns:
    """Compile a list of patterns."""
    return tuple(compile_pattern(text) for text in texts)


class Grant:
    """The scope of one credential: a channel is authorized if *every* list of patterns has a match for it.

    A publishable key has one list, a token two: its own and its signing key's. Channels that were found
    valid, unreserved and authorized are remembered, at most `memory` of them, so that the common request
    costs a look-up.
    """

    __slots__ = ("_authorized", "_memory", "_scopes", "actions")

    def __init__(self, actions: frozenset[Action], *scopes: Patterns, memory: int = 128) -> None:
        self.actions = actions
        self._scopes = scopes
        self._memory = memory
        self._authorized: set[str] = set()

    @property
    def is_empty(self) -> bool:
        """Whether it grants no channel at all (4003)."""
        first, *rest = self._scopes
        return not first or any(not _overlap(first, scope) for scope in rest)

    def permits(self, action: Action) -> bool:
        """Tell whether `action` is permitted."""
        return action in self.actions

    def refusal(self, action: Action, channel: str) -> str | None:
        """Return the error code for `action` on `channel`, or None if it is allowed.

        The checks in the order of spec section 8: name validity, reserved prefix, permitted action,
        authorized channel.
        """
        if channel in self._authorized and action in self.actions:
            return None
        return self._examine(action, channel)

    def _examine(self, action: Action, channel: str) -> str | None:
        try:
            check_channel(channel)
        except InvalidNameError:
            return ErrorCode.INVALID_CHANNEL
        if is_reserved(channel):
            return ErrorCode.CHANNEL_RESERVED
        if action not in self.actions:
            return ErrorCode.ACTION_NOT_PERMITTED
        if not self._authorizes(channel):
            return ErrorCode.CHANNEL_NOT_AUTHORIZED
        self._remember(channel)
        return None

    def _authorizes(self, channel: str) -> bool:
        return all(any(pattern.matches(channel) for pattern in scope) for scope in self._scopes)

    def _remember(self, channel: str) -> None:
        if len(self._authorized) >= self._memory:
            self._authorized.clear()
        self._authorized.add(channel)


def _overlap(ones: Patterns, others: Patterns) -> bool:
    return any(_may_meet(one, other) for one in ones for other in others)


def _may_meet(one: Pattern, other: Pattern) -> bool:
    """Tell whether a channel may match both: exact where one is literal, else by their beginnings."""
    start, is_literal = _literal_start(one.text)
    other_start, other_is_literal = _literal_start(other.text)
    if is_literal:
        return other.matches(start)
    if other_is_literal:
        return one.matches(other_start)
    return start.startswith(other_start) or other_start.startswith(start)


def _literal_start(text: str) -> tuple[str, bool]:
    found = _LITERAL_START.match(text)
    end = found.end() if found else 0
    return _ESCAPED.sub(r"\1", text[:end]), end == len(text)
