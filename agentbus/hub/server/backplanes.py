"""The `[backplane]` table of `hub.toml`, and what it makes: this hub's way to the others."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from pathlib import Path

from agentbus.errors import HubConfigError
from agentbus.hub.core.config import ConfigStruct
from agentbus.hub.server.plane import Membership


class BackplaneSettings(ConfigStruct, frozen=True):
    """How this hub reaches the others. Of `url`, `url_env` and `url_file` exactly one is given.

    Attributes:
        url: `nats://[user:password@|token@]host[:port]`, several with commas between, `tls://` for TLS.
        url_env: the environment variable that holds it.
        url_file: the file that does.
        cluster: hubs with the same one are one hub.
        name: of this hub, the same over restarts and different from the others'; "" is `host name:port`.
        credentials_file: a NATS `.creds` file; relative paths are relative to the file's folder.
        nkey_file: a file with an nkey seed.
        ca_file: PEM of the authorities that are believed, instead of the system's.
        cert_file: PEM of this hub's certificate for NATS.
        key_file: PEM of its key.
    """

    url: str = ""
    url_env: str = ""
    url_file: str = ""
    cluster: str = "agentbus"
    name: str = ""
    credentials_file: str = ""
    nkey_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""

    def __repr__(self) -> str:
        return f"BackplaneSettings(cluster={self.cluster!r}, <url hidden>)"


def read_url(settings: BackplaneSettings, folder: Path, environment: Mapping[str, str]) -> str:
    """Find the URL where the table says.

    Raises:
        HubConfigError: it is not there, or the table says it twice; its value is not repeated.
    """
    given = [name for name in ("url", "url_env", "url_file") if getattr(settings, name)]
    if len(given) != 1:
        raise HubConfigError("hub.toml", "backplane", "give exactly one of url, url_env and url_file")
    if settings.url_env:
        if settings.url_env not in environment:
            problem = f"the environment variable {settings.url_env} is not set"
            raise HubConfigError("hub.toml", "backplane.url_env", problem)
        return environment[settings.url_env]
    if settings.url_file:
        try:
            return (folder / settings.url_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            problem = f"{settings.url_file}: {getattr(error, 'strerror', None) or 'unreadable'}"
            raise HubConfigError("hub.toml", "backplane.url_file", problem) from None
    return settings.url


def nats_membership(
    url: str, settings: BackplaneSettings, *, folder: Path = Path(), port: int = 0, part: str = ""
) -> Membership:
    """Make a hub's way to the others over NATS.

    Args:
        url: where NATS is.
        settings: the table.
        folder: of its relative paths.
        port: that the hub listens on, for its name.
        part: of the name, which several processes of one hub do not share.

    Raises:
        HubConfigError: a value is wrong, or the extra `nats` is missing.
    """
    try:
        from agentbus.hub.backplane.nats import NatsBackplane
        from agentbus.hub.backplane.nats_options import parse_nats_url
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "nats":
            raise
        problem = "hubs over NATS need nats-py: pip install 'agentbus[nats]'"
        raise HubConfigError("backplane", "", problem) from None

    def path(name: str) -> Path | None:
        text: str = getattr(settings, name)
        return folder / text if text else None

    options = parse_nats_url(
        url,
        cluster=settings.cluster,
        credentials_file=path("credentials_file"),
        nkey_file=path("nkey_file"),
        ca_file=path("ca_file"),
        cert_file=path("cert_file"),
        key_file=path("key_file"),
    )
    return Membership(NatsBackplane(options), _name(settings.name, port, part), new_life())


def local_membership(path: Path, *, port: int, part: str) -> Membership:
    """Make a hub's way to the others of the same machine, over a relay's socket."""
    from agentbus.hub.backplane.local import LocalBackplane

    return Membership(LocalBackplane(path), _name("", port, part), new_life())


def new_life() -> str:
    """Name one run of one hub."""
    return uuid.uuid4().hex


def _name(given: str, port: int, part: str) -> str:
    name = given or f"{socket.gethostname()}:{port or os.getpid()}"
    return f"{name}/{part}" if part else name
