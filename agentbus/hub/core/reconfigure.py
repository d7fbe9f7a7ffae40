"""What another configuration means for the connections that are open.

The rule of thumb: whoever would not get in any more is closed with the code that he would be refused with.

- A connection whose app or key is gone, or whose token was signed with a secret that its key no longer has:
  4001.
- A connection of an app that is suspended now: 4012.
- A connection whose key has other patterns, actions or origins: 1012, on which clients come back at once and
  are judged anew.
- All others stay. The limits that they were told in `welcome` (message size and rates) go on for them; all
  other limits hold for them from now on. A lower `max_connections` closes nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from agentbus.hub.core.config import AppConfig, Key, PublishableKey
from agentbus.hub.core.session import Session
from agentbus.protocol import CloseCode

APP_FIELDS: Final = (
    "suspended",
    "max_connections",
    "max_messages_per_period",
    "publishable_keys",
    "secret_keys",
)
"""What an app takes up while it runs; it keeps the rest as it was when it came."""

HUB_FIELDS: Final = ("apps", "limits")
"""What a hub takes up while it runs."""


def taken_up(before: AppConfig, after: AppConfig) -> AppConfig:
    """Return what an app goes on with."""
    return replace(before, **{name: getattr(after, name) for name in APP_FIELDS})


class Verdicts:
    """Decides about connections that were let in under another configuration.

    Args:
        apps: what is configured now.
    """

    def __init__(self, apps: Iterable[AppConfig]) -> None:
        self._suspended: set[str] = set()
        self._keys: dict[tuple[str, str], Key] = {}
        for app in apps:
            if app.suspended:
                self._suspended.add(app.id)
            for key in app.keys:
                self._keys[app.id, key.name] = key

    def on(self, session: Session) -> CloseCode | None:
        """Return the code that an open connection is closed with, or None where it stays."""
        before = session.key
        now = None if before is None else self._keys.get((session.app.id, before.name))
        if before is None or now is None or not _signs_alike(before, now):
            return CloseCode.INVALID_TOKEN
        if session.app.id in self._suspended:
            return CloseCode.ACCOUNT_SUSPENDED
        return None if now == before else CloseCode.SERVICE_RESTART


def _signs_alike(before: Key, now: Key) -> bool:
    if isinstance(before, PublishableKey) or isinstance(now, PublishableKey):
        return True
    return before.secret == now.secret
