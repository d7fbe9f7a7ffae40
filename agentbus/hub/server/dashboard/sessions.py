"""Who is signed in to the dashboard: random ids that the hub remembers, bounded in number and in time.

An id says nothing by itself, so that there is nothing to forge, and to sign out ends it at once. Times are
monotonic seconds.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from agentbus.hub.core.config import AppConfig, HubConfig
from agentbus.hub.core.keyring import Caller

IDLE_TIMEOUT = 1800.0
"""Seconds without a request after which a session is over; an open page makes some."""

LIFETIME = 12 * 3600.0
"""Seconds after which it is over in any case."""

MOST_PER_APP = 20
"""Sessions of one app; one more ends the one that was idle longest."""


@dataclass(slots=True, eq=False)
class Visit:
    """One person's session in one browser.

    Attributes:
        id: what the cookie holds.
        form_token: what every form of the session has to bring, against requests forged by other sites.
        caller: the app and the key, as configured now.
        config: in which `caller` was looked up.
        begun: when it signed in.
        used: its latest request.
        notice: to be shown once, on the next page.
        streams: pages that are open and get live updates.
    """

    id: str = field(repr=False)
    form_token: str = field(repr=False)
    caller: Caller = field(repr=False)
    config: HubConfig = field(repr=False)
    begun: float
    used: float
    notice: str = ""
    streams: int = 0

    def is_over(self, now: float) -> bool:
        """Tell whether its time is up."""
        return now - self.begun >= LIFETIME or now - self.used >= IDLE_TIMEOUT

    def has_form_token(self, given: str) -> bool:
        """Compare in constant time."""
        return hmac.compare_digest(given.encode(errors="replace"), self.form_token.encode())


class Sessions:
    """All sessions of one hub.

    Args:
        new_id: gives a fresh random text that nobody can guess.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._visits: dict[str, Visit] = {}

    def __len__(self) -> int:
        return len(self._visits)

    def begin(self, caller: Caller, config: HubConfig, now: float) -> Visit:
        """Sign somebody in who has shown a good pair; always under a new id."""
        self._forget_what_is_over(now)
        others = [visit for visit in self._visits.values() if visit.caller.app.id == caller.app.id]
        if len(others) >= MOST_PER_APP:
            self.end(min(others, key=lambda visit: visit.used))
        visit = Visit(self._new_id(), self._new_id(), caller, config, now, now)
        self._visits[visit.id] = visit
        return visit

    def find(self, visit_id: str, config: HubConfig, now: float) -> Visit | None:
        """Find a session, and count this as a use of it.

        Args:
            visit_id: what the cookie holds.
            config: as it is now; a session whose key is no longer in it, or has another secret, is over.
            now: the time.
        """
        visit = self._visits.get(visit_id)
        if visit is None:
            return None
        if visit.is_over(now) or not _follow(visit, config):
            self.end(visit)
            return None
        visit.used = now
        return visit

    def end(self, visit: Visit) -> None:
        """Sign out; idempotent."""
        self._visits.pop(visit.id, None)

    def _forget_what_is_over(self, now: float) -> None:
        for visit in [visit for visit in self._visits.values() if visit.is_over(now)]:
            self.end(visit)


def _follow(visit: Visit, config: HubConfig) -> bool:
    """Take up what the configuration now says of the session's key; False where it no longer has it."""
    if visit.config is config:
        return True
    found = _look_up(visit.caller, config.apps)
    if found is None:
        return False
    visit.caller, visit.config = found, config
    return True


def _look_up(caller: Caller, apps: tuple[AppConfig, ...]) -> Caller | None:
    for app in apps:
        for key in app.secret_keys:
            if app.id == caller.app.id and key.id == caller.key.id and key.secret == caller.key.secret:
                return Caller.of(app, key)
    return None
