"""Following this peer's mailbox, once per connection: what was sent while it was away comes first."""

from __future__ import annotations

import logging

from agentbus.errors import SignallingServerError


class MailboxClaim:
    """The reply of the `subscribe` that follows the mailbox; nobody waits for it.

    Args:
        log: where a refusal is noted.
    """

    __slots__ = ("_log",)

    def __init__(self, log: logging.Logger) -> None:
        self._log = log

    def leaving(self) -> None:
        """Hear that it leaves; there is nothing to track."""

    def try_set(self, value: None = None) -> bool:
        """Hear that the mailbox is followed."""
        del value
        return True

    def try_set_exception(self, error: BaseException) -> bool:
        """Hear that it is not; the next connection tries again."""
        if isinstance(error, SignallingServerError):
            self._log.warning("this peer has no mailbox: the hub answered %a", error.code)
        return True
