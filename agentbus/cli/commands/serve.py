"""`agentbus serve`: run a hub until it is told to stop."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentbus.cli import console
from agentbus.cli.commands.serve_many import STOPPING, Joining, serve_with_workers
from agentbus.cli.exits import misused
from agentbus.cli.logs import configure_logging

if TYPE_CHECKING:
    from agentbus.hub.server.settings import Settings

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_NO_CONFIGURATION = (
    "a hub needs a configuration: `agentbus keys init` writes a hub.toml, `agentbus serve --config hub.toml` "
    "runs it; for development on this machine: `agentbus serve --dev`"
)


class LogLevel(StrEnum):
    """From which level on lines are printed."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class LogFormat(StrEnum):
    """For people, or for machines."""

    TEXT = "text"
    JSON = "json"


def serve(
    *,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Where to listen. [default: 127.0.0.1]")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option("--port", min=0, max=65535, metavar="PORT", help="0 picks a free one. [default: 7700]"),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="Apps, keys and limits: a hub.toml.")
    ] = None,
    dev: Annotated[bool, typer.Option("--dev", help="For development on this machine: public keys.")] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", metavar="DIR", help="Keeps message counts and histories over restarts."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", metavar="FILE", help="PEM; for wss://.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="PEM.")] = None,
    uds: Annotated[
        Path | None, typer.Option("--uds", metavar="PATH", help="A unix socket in place of host and port.")
    ] = None,
    backplane: Annotated[
        str | None,
        typer.Option(
            "--backplane",
            metavar="URL",
            envvar="AGENTBUS_BACKPLANE",
            show_envvar=True,
            help="Be one hub with all others on this NATS: nats://host:4222, tls://host:4222.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", min=1, max=256, metavar="N", help="Processes on the port. [default: 1]"),
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option("--log-level", help="From which up. [default: info]")
    ] = None,
    log_format: Annotated[
        LogFormat | None, typer.Option("--log-format", help="Of log lines. [default: text]")
    ] = None,
) -> None:
    """Run a hub until Ctrl-C or SIGTERM; a second signal ends it at once. SIGHUP reads the file again."""
    from agentbus.hub.server.reload import Source
    from agentbus.hub.server.run import run_hub
    from agentbus.hub.server.server import Listen
    from agentbus.hub.server.settings import load_settings
    from agentbus.hub.server.workers import this_worker

    worker = this_worker()
    settings = _settings(config, dev=dev)
    server = settings.server
    listen = Listen(
        host=host or server.host,
        port=server.port if port is None else port,
        tls_cert=tls_cert or _path(server.tls_cert),
        tls_key=tls_key or _path(server.tls_key),
        uds=uds or _path(server.uds),
        uds_mode=int(server.uds_mode, 8),
        shutdown_grace=server.shutdown_grace,
        trusted_proxies=server.trusted_proxies,
        metrics_token=server.metrics_token,
        max_unauthenticated=server.max_unauthenticated,
        reuse_port=worker is not None,
        dashboard=server.dashboard and worker is None,  # its sessions are one process's
    )
    if dev and listen.host not in LOOPBACK:
        raise misused(f"--dev holds public keys and is for this machine alone, not for {listen.host}")
    configure_logging(log_level or server.log_level, log_format or server.log_format)
    joining = Joining(settings.backplane, backplane, config.parent if config else Path(), listen.port)
    if worker is None:
        for warning in settings.warnings:
            console.complain(warning)
        if (count := workers or server.workers) > 1:
            if listen.uds is not None:
                raise misused("--workers share a port, not a unix socket: give a host and a port")
            joining.membership(None)  # a mistake is said once, not by each of them
            serve_with_workers(count, listen, joining, reloads=config is not None)
            return
    run_hub(
        settings.hub,
        listen,
        data_dir=data_dir if worker is None or data_dir is None else data_dir / f"worker-{worker.number}",
        source=None if config is None else Source(partial(load_settings, config), settings),
        membership=joining.membership(worker),
        worker=worker,
        on_ready=lambda hub: None if worker else console.say(f"agentbus hub ready on {hub.url}"),
        on_stopping=lambda: None if worker else console.say(STOPPING),
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _settings(config: Path | None, *, dev: bool) -> Settings:
    from agentbus.hub.server.presets import dev_config
    from agentbus.hub.server.settings import ServerSettings, Settings, load_settings

    if config and dev:
        raise misused("--config and --dev exclude each other")
    if config:
        return load_settings(config)
    if dev:
        return Settings(server=ServerSettings(), hub=dev_config())
    raise misused(_NO_CONFIGURATION)
