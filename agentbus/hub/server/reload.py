"""Another configuration without a restart: SIGHUP reads `hub.toml` again. A bad file changes nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec

from agentbus.errors import HubConfigError
from agentbus.hub.core import AppConfig, HubConfig
from agentbus.hub.core.reconfigure import APP_FIELDS, HUB_FIELDS
from agentbus.hub.server.settings import Settings

_log = logging.getLogger("agentbus.hub")


@dataclass(frozen=True)
class Source:
    """Where a hub's configuration came from, and comes from again.

    Attributes:
        load: reads it; raises `HubConfigError`.
        started: what it was when the hub started.
    """

    load: Callable[[], Settings]
    started: Settings


class Reloader:
    """Reads the configuration again each time it is told to, one after the other.

    Args:
        source: where it is.
        apply: takes another configuration.
    """

    def __init__(self, source: Source, apply: Callable[[HubConfig], object]) -> None:
        self._source = source
        self._config = source.started.hub
        self._apply = apply
        self._again = False
        self._task: asyncio.Task[None] | None = None

    def request(self) -> None:
        """Begin to reload; what is asked for meanwhile is one more reload after this one."""
        if self._task is not None and not self._task.done():
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._run(), name="hub-reload")

    async def finished(self) -> None:
        """Wait until all reloads that were requested are done."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        self._again = True
        while self._again:
            self._again = False
            try:
                await self.reload()
            except Exception:  # noqa: BLE001 -- nobody awaits this: the log is the only place to say so
                _log.exception("the reload failed")

    async def reload(self) -> None:
        """Read the file and go on with it; one line in the log says what has changed, or what is wrong."""
        try:
            settings = await asyncio.to_thread(self._source.load)
        except HubConfigError as error:
            _log.error("the new configuration is refused, the old one goes on: %s", error)
            return
        for warning in settings.warnings:
            _log.warning("%s", warning)
        fixed = needs_restart(self._source.started, settings)
        if fixed:
            _log.warning("a change of %s takes a restart of the hub; it goes on as before", ", ".join(fixed))
        changes = list(differences(self._config, settings.hub))
        self._config = settings.hub
        self._apply(settings.hub)
        _log.info("configuration reloaded: %s", "; ".join(changes) or "nothing has changed")


def needs_restart(before: Settings, after: Settings) -> list[str]:
    """Name the settings that differ and that only a start can take."""
    names = [f"server.{name}" for name in _changed(before.server, after.server)]
    names += [name for name in _changed(before.hub, after.hub) if name not in HUB_FIELDS]
    if before.backplane != after.backplane:
        names.append("backplane")
    started = {app.id: app for app in before.hub.apps}
    for index, app in enumerate(after.hub.apps):
        changed = _changed(started.get(app.id, app), app)
        names += [f"apps[{index}].{name}" for name in changed if name not in APP_FIELDS]
    return names


def _changed(before: msgspec.Struct, after: msgspec.Struct) -> list[str]:
    names = [field.name for field in msgspec.structs.fields(before)]
    return [name for name in names if getattr(before, name) != getattr(after, name)]


def differences(before: HubConfig, after: HubConfig) -> Iterable[str]:
    """Say in a few words what has changed; public names alone, and of each key only that it has."""
    old, new = ({app.id: app for app in config.apps} for config in (before, after))
    yield from (f"app {name} added" for name in new if name not in old)
    yield from (f"app {name} removed" for name in old if name not in new)
    for name in [name for name in new if name in old]:
        if old[name].suspended != new[name].suspended:
            yield f"app {name} {'suspended' if new[name].suspended else 'no longer suspended'}"
        yield from _keys(old[name], new[name])
        if _limits(old[name]) != _limits(new[name]):
            yield f"app {name}: its limits changed"
    changed = _changed(before.limits, after.limits)
    if changed:
        yield f"limits changed: {', '.join(changed)}"


def _limits(app: AppConfig) -> tuple[int, int]:
    return app.max_connections, app.max_messages_per_period


def _keys(before: AppConfig, after: AppConfig) -> Iterable[str]:
    old, new = ({key.name: key for key in app.keys} for app in (before, after))
    counts = {
        "added": len(new.keys() - old.keys()),
        "revoked": len(old.keys() - new.keys()),
        "changed": sum(old[name] != new[name] for name in old.keys() & new.keys()),
    }
    for what, count in counts.items():
        if count:
            yield f"app {after.id}: {count} key{'' if count == 1 else 's'} {what}"
