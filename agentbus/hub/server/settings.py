"""Read `hub.toml`. A mistake is named by file, dotted key and problem; its value, perhaps a secret, is not.

What may stand in the file is the structs below and those of the core's configuration: an unknown key, a wrong
type and a value out of range are found by msgspec, which says where.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from agentbus.errors import HubConfigError
from agentbus.hub.core.config import (
    ALL_ACTIONS,
    APP_ID,
    KEY_PAIR_ID,
    PUBLISHABLE_KEY,
    Action,
    AppConfig,
    AppId,
    ConfigStruct,
    DedupeLimits,
    HistoryLimits,
    HistoryRule,
    HubConfig,
    Limits,
    Mailboxes,
    NonNegative,
    Positive,
    PublishableKey,
    SecretKey,
    SecretKeyId,
)
from agentbus.hub.server.backplanes import BackplaneSettings
from agentbus.hub.server.entrance import MOST_UNAUTHENTICATED
from agentbus.hub.server.operation import complete

SHORTEST_GOOD_SECRET_BYTES = 32  # RFC 7518, section 3.2: as long as the hash

LogLevel = Literal["debug", "info", "warning", "error", "critical"]
LogFormat = Literal["text", "json"]


class ServerSettings(ConfigStruct, frozen=True):
    """The `[server]` table: the shell around the core.

    Attributes:
        port: 0 picks a free one.
        shutdown_grace: seconds that clients have to leave when the hub stops.
        trusted_proxies: whose `X-Forwarded-For` is believed: addresses, networks, `unix` for the unix socket.
        tls_cert: PEM file; with `tls_key` the hub speaks TLS. Empty texts stand for nothing, here and below.
        tls_key: PEM file.
        uds: path of a unix socket, in place of host and port.
        uds_mode: its permissions, octal.
        metrics_token: opens `/metrics` to callers elsewhere; or the variable, or the file, that holds it.
        max_unauthenticated: sockets without an accepted credential that are held.
        workers: processes that share the port and are one hub.
        dashboard: whether there is one at `/`.
    """

    host: Annotated[str, msgspec.Meta(min_length=1)] = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 7700
    shutdown_grace: Annotated[float, msgspec.Meta(ge=0, le=300)] = 5.0
    trusted_proxies: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    uds: str = ""
    uds_mode: str = "600"
    metrics_token: str = ""
    metrics_token_env: str = ""
    metrics_token_file: str = ""
    max_unauthenticated: Positive = MOST_UNAUTHENTICATED
    dashboard: bool = True
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"
    workers: Annotated[int, msgspec.Meta(ge=1, le=256)] = 1

    def __repr__(self) -> str:
        return f"ServerSettings(host={self.host!r}, port={self.port}, uds={self.uds!r}, <the rest hidden>)"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """A whole `hub.toml`.

    Attributes:
        server: the shell's part.
        hub: the core's part.
        backplane: the way to other hubs, if there are any.
        warnings: what is legal and unwise, for people.
    """

    server: ServerSettings
    hub: HubConfig
    backplane: BackplaneSettings | None = None
    warnings: tuple[str, ...] = ()


class _SecretKeyTable(ConfigStruct, frozen=True):
    id: SecretKeyId
    secret: str | None = None
    secret_env: str | None = None
    secret_file: str | None = None
    channel_patterns: tuple[str, ...] = ("**",)
    actions: frozenset[Action] = ALL_ACTIONS


class _AppTable(ConfigStruct, frozen=True):
    id: AppId
    suspended: bool = False
    max_connections: Positive = 1000
    max_messages_per_period: NonNegative = 0
    publishable_keys: tuple[PublishableKey, ...] = ()
    secret_keys: tuple[_SecretKeyTable, ...] = ()
    history: tuple[HistoryRule, ...] = ()
    mailboxes: Mailboxes | None = None


class _File(ConfigStruct, frozen=True):
    server: ServerSettings = ServerSettings()
    limits: Limits = Limits()
    backplane: BackplaneSettings | None = None
    history: HistoryLimits = HistoryLimits()
    dedupe: DedupeLimits = DedupeLimits()
    apps: tuple[_AppTable, ...] = ()


def load_settings(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a `hub.toml`.

    Args:
        path: the file; a relative `secret_file` in it is relative to its folder.
        environment: where `secret_env` looks; the process's own by default.

    Raises:
        HubConfigError: it cannot be read, or something in it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HubConfigError(str(path), "", f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise HubConfigError(str(path), "", "is not UTF-8 text") from None
    return parse_settings(text, str(path), path.parent, os.environ if environment is None else environment)


def parse_settings(text: str, source: str, folder: Path, environment: Mapping[str, str]) -> Settings:
    """Read the text of a `hub.toml`; `source` is what errors call it.

    Raises:
        HubConfigError: something in it is wrong.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise HubConfigError(source, "", f"is not TOML: {error}") from None
    except RecursionError:
        raise HubConfigError(source, "", "is nested too deeply") from None
    try:
        file = msgspec.convert(tables, _File)
    except msgspec.ValidationError as error:
        raise _explain(error, source) from None
    server = complete(file.server, source, folder, environment)
    if not file.apps:
        raise HubConfigError(source, "apps", "at least one app is needed; make one with `agentbus keys new`")
    secrets = _Secrets(source, folder, environment)
    apps = tuple(_app(table, f"apps[{index}]", secrets) for index, table in enumerate(file.apps))
    try:
        hub = HubConfig(apps=apps, limits=file.limits, history=file.history, dedupe=file.dedupe)
    except ValueError as error:
        raise HubConfigError(source, "apps", str(error)) from None
    return Settings(server=server, hub=hub, backplane=file.backplane, warnings=tuple(secrets.warnings))


# -- secrets -----------------------------------------------------------------------------------------------


class _Secrets:
    """Finds each secret where its table says, and notes which are short."""

    def __init__(self, source: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.warnings: list[str] = []
        self._source = source
        self._folder = folder
        self._environment = environment

    def find(self, table: _SecretKeyTable, key: str) -> str:
        given = [name for name in ("secret", "secret_env", "secret_file") if getattr(table, name) is not None]
        if len(given) != 1:
            raise HubConfigError(self._source, key, "give exactly one of secret, secret_env and secret_file")
        if table.secret_env is not None:
            secret = self._from_environment(table.secret_env, f"{key}.secret_env")
        elif table.secret_file is not None:
            secret = self._from_file(table.secret_file, f"{key}.secret_file")
        else:
            secret = table.secret or ""
        if not secret:
            raise HubConfigError(self._source, f"{key}.{given[0]}", "the secret is empty")
        if len(secret.encode()) < SHORTEST_GOOD_SECRET_BYTES:
            problem = f"the secret has less than {SHORTEST_GOOD_SECRET_BYTES} bytes"
            self.warnings.append(f"{key}: {problem}; `agentbus keys new` makes better ones")
        return secret

    def _from_environment(self, name: str, key: str) -> str:
        if name not in self._environment:
            raise HubConfigError(self._source, key, f"the environment variable {_shown(name)} is not set")
        return self._environment[name]

    def _from_file(self, name: str, key: str) -> str:
        path, shown = self._folder / name, _shown(name)
        try:
            return path.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise HubConfigError(self._source, key, f"{shown}: {error.strerror or 'unreadable'}") from None
        except UnicodeDecodeError:
            raise HubConfigError(self._source, key, f"{shown}: is not UTF-8 text") from None


def _shown(name: str) -> str:
    return "(hidden: it looks like a secret)" if name.startswith("sk_secret_") else name


def _app(table: _AppTable, key: str, secrets: _Secrets) -> AppConfig:
    return AppConfig(
        id=table.id,
        suspended=table.suspended,
        max_connections=table.max_connections,
        max_messages_per_period=table.max_messages_per_period,
        publishable_keys=table.publishable_keys,
        history=table.history,
        mailboxes=table.mailboxes,
        secret_keys=tuple(
            SecretKey(
                id=pair.id,
                secret=secrets.find(pair, f"{key}.secret_keys[{index}]"),
                channel_patterns=pair.channel_patterns,
                actions=pair.actions,
            )
            for index, pair in enumerate(table.secret_keys)
        ),
    )


# -- errors ------------------------------------------------------------------------------------------------

_PLACE = re.compile(r"^(?P<problem>.*?)(?: - at `(?:key in )?\$\.?(?P<key>.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_INDEX = re.compile(r"\[\d+\]$")
_SHAPES = {
    f"Expected `str` matching regex {pattern!r}": f"must be {shape}"
    for pattern, shape in {
        APP_ID: "1 to 64 letters, digits, dots, dashes or underscores",
        PUBLISHABLE_KEY: "`pk_` and up to 253 printable ASCII characters, no spaces",
        KEY_PAIR_ID: "`sk_id_` and up to 122 printable ASCII characters, no spaces, no colon",
    }.items()
}
_CHOICES: dict[str, tuple[str, ...]] = {
    "actions": get_args(Action),
    "log_level": get_args(LogLevel),
    "log_format": get_args(LogFormat),
}


def _explain(error: msgspec.ValidationError, source: str) -> HubConfigError:
    """Turn msgspec's message into key and problem."""
    found = _PLACE.match(str(error))
    problem, key = (found["problem"], found["key"] or "") if found else (str(error), "")
    if unknown := _UNKNOWN.fullmatch(problem):
        return HubConfigError(source, _join(key, unknown[1]), "unknown key")
    if missing := _MISSING.fullmatch(problem):
        return HubConfigError(source, _join(key, missing[1]), "is missing")
    if problem.startswith("Invalid enum value"):
        choices = _CHOICES[_INDEX.sub("", key).rpartition(".")[2]]
        return HubConfigError(source, key, f"must be one of {', '.join(choices)}")
    return HubConfigError(source, key, _SHAPES.get(problem, problem[:1].lower() + problem[1:]))


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
