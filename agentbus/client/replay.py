"""How often a re-subscribe is tried again on one connection: a pure rule."""

from __future__ import annotations

REPLAY_RETRIES = 3
REPLAY_RETRY_DELAY = 2.0
"""Seconds between a refusal, or an ack that did not come, and the next try. Spec section 7, *replay*."""


class ReplayBudget:
    """The tries that are left on this connection; a new connection brings a new budget."""

    __slots__ = ("_left",)

    def __init__(self, retries: int = REPLAY_RETRIES) -> None:
        self._left = retries

    def next_delay(self) -> float | None:
        """Spend one try: seconds to wait before it, or None when all are spent."""
        if self._left == 0:
            return None
        self._left -= 1
        return REPLAY_RETRY_DELAY
