"""`agentbus serve`: one hub on one loop, from its first line to its last signal."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import uuid
from collections.abc import Callable
from pathlib import Path

from agentbus.hub.core import HistoryStore, HubConfig, UsageStore
from agentbus.hub.server.history_store import SqliteHistoryStore
from agentbus.hub.server.listening import use_all_files
from agentbus.hub.server.plane import Membership
from agentbus.hub.server.reload import Reloader, Source
from agentbus.hub.server.server import HubServer, Listen
from agentbus.hub.server.usage_store import SqliteUsageStore
from agentbus.hub.server.workers import Worker
from agentbus.runtime.loop import HostedLoop

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run_hub(
    config: HubConfig,
    listen: Listen,
    *,
    data_dir: Path | None = None,
    source: Source | None = None,
    membership: Membership | None = None,
    worker: Worker | None = None,
    on_ready: Callable[[HubServer], object],
    on_stopping: Callable[[], object] = lambda: None,
) -> None:
    """Run a hub until SIGINT or SIGTERM; then say `going_away` to all and end within the grace time.

    A second signal ends the process at once, with 128 plus its number. SIGHUP reads the configuration again
    (`hub.server.reload`), and the certificate. uvloop is used where it is installed.

    Args:
        config: apps and limits.
        listen: where, and how it ends.
        data_dir: keeps message counts and histories over restarts; None forgets them.
        source: where SIGHUP finds the configuration; a hub that has none ends on it.
        membership: how it joins other hubs; None for a hub that is alone.
        worker: what it is of a hub of several processes; None for a process of its own.
        on_ready: told once connections are accepted.
        on_stopping: told at the first signal.

    Raises:
        HubConfigError: it can't listen there, or keep anything in `data_dir`.
    """
    use_all_files()
    with contextlib.ExitStack() as stores:
        usage: SqliteUsageStore | None = None
        history: SqliteHistoryStore | None = None
        if data_dir is not None:
            usage = stores.enter_context(contextlib.closing(SqliteUsageStore(data_dir)))
            # one of several hubs misses what the others publish while it is down: its histories begin anew
            if membership is None and any(app.history for app in config.apps):
                history = stores.enter_context(contextlib.closing(SqliteHistoryStore(data_dir)))
        runner = stores.enter_context(asyncio.Runner(loop_factory=_loop_factory()))
        hub = _serve(config, listen, usage, history, source, membership, worker, on_ready, on_stopping)
        runner.run(hub)


async def _serve(
    config: HubConfig,
    listen: Listen,
    usage_store: UsageStore | None,
    history_store: HistoryStore | None,
    source: Source | None,
    membership: Membership | None,
    worker: Worker | None,
    on_ready: Callable[[HubServer], object],
    on_stopping: Callable[[], object],
) -> None:
    loop = asyncio.get_running_loop()
    server = HubServer(
        config,
        listen,
        loop=HostedLoop(loop, name="hub"),
        new_id=lambda: str(uuid.uuid4()),
        usage_store=usage_store,
        membership=membership,
        history_store=history_store,
    )
    stopping = asyncio.Event()
    for number in (
        *STOP_SIGNALS,
        signal.SIGHUP,
    ):  # whose terminal closes, and who has nothing to reload, ends
        loop.add_signal_handler(number, _on_signal, number, stopping)
    if source is not None:
        loop.add_signal_handler(signal.SIGHUP, _on_hangup, server, Reloader(source, server.reconfigure))
    if worker is not None:
        worker.watch(stopping.set)
    await server.start()
    gc.collect()
    gc.freeze()  # what is there now stays: no later collection looks at it again
    on_ready(server)
    if worker is not None:
        worker.ready()
    await stopping.wait()
    on_stopping()
    await server.stop()


def _on_hangup(server: HubServer, reloader: Reloader) -> None:
    server.renew_certificate()
    reloader.request()


def _on_signal(number: signal.Signals, stopping: asyncio.Event) -> None:
    if stopping.is_set():
        os._exit(128 + number)
    stopping.set()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
