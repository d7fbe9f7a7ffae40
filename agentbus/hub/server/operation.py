"""What of a `hub.toml`'s `[server]` needs a look beyond the file: paths, the metrics token, addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from agentbus.errors import HubConfigError
from agentbus.hub.server.addresses import UNIX, parse_network

if TYPE_CHECKING:
    from agentbus.hub.server.settings import ServerSettings

SHORTEST_TOKEN = 16
MODE = re.compile(r"0?[0-7]{3}")


def complete(
    server: ServerSettings, source: str, folder: Path, environment: Mapping[str, str]
) -> ServerSettings:
    """Check what one key alone does not tell, make paths absolute, and fetch the metrics token.

    Args:
        server: as the file has it.
        source: what errors call the file.
        folder: where relative paths begin.
        environment: where `metrics_token_env` looks.

    Raises:
        HubConfigError: something in it is wrong.
    """
    _check_proxies(server, source)
    if bool(server.tls_cert) != bool(server.tls_key):
        missing = "tls_key" if server.tls_cert else "tls_cert"
        raise HubConfigError(source, f"server.{missing}", "a certificate and a key belong together")
    if not MODE.fullmatch(server.uds_mode):
        raise HubConfigError(source, "server.uds_mode", 'must be three octal digits, such as "660"')
    return replace(
        server,
        tls_cert=_absolute(server.tls_cert, folder),
        tls_key=_absolute(server.tls_key, folder),
        uds=_absolute(server.uds, folder),
        metrics_token=_metrics_token(server, source, folder, environment),
    )


def _absolute(path: str, folder: Path) -> str:
    return str(folder / path) if path else ""


def _metrics_token(server: ServerSettings, source: str, folder: Path, environment: Mapping[str, str]) -> str:
    names = ("metrics_token", "metrics_token_env", "metrics_token_file")
    given = [name for name in names if getattr(server, name)]
    if not given:
        return ""
    key = f"server.{given[0]}"
    if len(given) > 1:
        raise HubConfigError(source, key, f"give one of {', '.join(names)} at most")
    token = _find(server, key, source, folder, environment)
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise HubConfigError(
            source, key, f"the token must be {SHORTEST_TOKEN} or more printable ASCII characters"
        )
    return token


def _find(server: ServerSettings, key: str, source: str, folder: Path, environment: Mapping[str, str]) -> str:
    if server.metrics_token_env:
        if server.metrics_token_env not in environment:
            raise HubConfigError(source, key, "that environment variable is not set")
        return environment[server.metrics_token_env]
    if server.metrics_token_file:
        try:
            return (folder / server.metrics_token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise HubConfigError(source, key, "that file can't be read") from None
    return server.metrics_token


def _check_proxies(server: ServerSettings, source: str) -> None:
    for index, proxy in enumerate(server.trusted_proxies):
        if proxy == UNIX:
            continue
        try:
            parse_network(proxy)
        except ValueError:
            key = f"server.trusted_proxies[{index}]"
            raise HubConfigError(source, key, f'must be an IP address, a network or "{UNIX}"') from None
