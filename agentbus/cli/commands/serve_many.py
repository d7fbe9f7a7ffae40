"""`agentbus serve` as one of several hubs: over NATS, or as several processes on one port."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agentbus.cli import console

if TYPE_CHECKING:
    from agentbus.hub.server.backplanes import BackplaneSettings
    from agentbus.hub.server.plane import Membership
    from agentbus.hub.server.server import Listen
    from agentbus.hub.server.workers import Worker

STOPPING = "agentbus hub stopping; a second signal ends it at once"


@dataclass(frozen=True)
class Joining:
    """How this hub joins others.

    Attributes:
        table: the configuration's `[backplane]`, if it has one.
        url: what the command line says, which goes before the table's.
        folder: of the configuration.
        port: that the hub listens on; 0 for any.
    """

    table: BackplaneSettings | None
    url: str | None = field(repr=False)
    folder: Path
    port: int

    @property
    def over_nats(self) -> bool:
        """Whether it joins over NATS."""
        return bool(self.url) or self.table is not None

    def membership(self, worker: Worker | None) -> Membership | None:
        """Make the way to the others; None for a hub that is alone."""
        from agentbus.hub.server.backplanes import (
            BackplaneSettings,
            local_membership,
            nats_membership,
            read_url,
        )

        part = str(worker.number) if worker else ""
        if self.over_nats:
            table = self.table or BackplaneSettings()
            url = self.url or read_url(table, self.folder, os.environ)
            return nats_membership(url, table, folder=self.folder, port=self.port, part=part)
        if worker is not None and worker.relay is not None:
            return local_membership(worker.relay, port=self.port, part=part)
        return None


def serve_with_workers(count: int, listen: Listen, joining: Joining, *, reloads: bool) -> None:
    """Run so many processes on one port, as one hub, until Ctrl-C or SIGTERM."""
    from agentbus.hub.server.workers import run_workers

    scheme = "wss" if listen.tls_cert else "ws"
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    code = run_workers(
        count,
        sys.argv[1:],
        listen.host,
        listen.port,
        relayed=not joining.over_nats,
        reloads=reloads,
        on_ready=lambda port: console.say(
            f"agentbus hub ready on {scheme}://{host}:{port} with {count} workers"
        ),
        on_stopping=lambda: console.say(STOPPING),
    )
    if code:
        sys.exit(code)
