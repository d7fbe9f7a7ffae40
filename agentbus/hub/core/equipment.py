"""What an app has beside its channels, as it is configured: histories, mailboxes, a memory of ids."""

from __future__ import annotations

from agentbus.hub.core.app import App
from agentbus.hub.core.config import HubConfig
from agentbus.hub.core.dedupe import Dedupe
from agentbus.hub.core.history import Histories
from agentbus.hub.core.post import PostOffice
from agentbus.hub.core.stored import HistoryStore
from agentbus.protocol import DEDUPE_EXTENSION, RECOVER_EXTENSION


def equip(app: App, config: HubConfig, life: str, store: HistoryStore | None) -> None:
    """Give a new app what the hub is configured with.

    Args:
        app: without any of it.
        config: the hub's.
        life: names this life of the hub.
        store: keeps histories over restarts, if anything does.
    """
    if DEDUPE_EXTENSION in config.extensions:
        app.dedupe = Dedupe(config.dedupe)
    rules, mailboxes = app.config.history, app.config.mailboxes
    if rules:
        app.history = Histories(app.id, rules, config.history, life, store)
    if mailboxes is not None:
        app.post = PostOffice(mailboxes, config.history.max_bytes, life)


def offered(app: App, config: HubConfig) -> tuple[str, ...]:
    """Give the extensions that connections of an app are offered."""
    if app.history is None and app.post is None:
        return config.extensions
    return (*config.extensions, RECOVER_EXTENSION)
