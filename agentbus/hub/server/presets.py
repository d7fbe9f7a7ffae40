"""Configurations that need no file: for development, and for a hub inside one program."""

from __future__ import annotations

from agentbus.hub.core import AppConfig, HubConfig, Limits, PublishableKey, SecretKey

DEV_KEY = "pk_live_dev"
DEV_SECRET_ID = "sk_id_dev"  # noqa: S105 -- the public half
DEV_SECRET = "sk_secret_dev_0123456789abcdef0123456789abcdef"  # noqa: S105 -- public, and for loopback only

UNRATED = Limits(messages_per_second=0, connects_per_minute_per_address=0)


def dev_config() -> HubConfig:
    """Return what `--dev` runs with: one app, known keys for everything, message and connect rates off."""
    app = AppConfig(
        id="dev",
        publishable_keys=(PublishableKey(key=DEV_KEY, channel_patterns=("**",)),),
        secret_keys=(SecretKey(id=DEV_SECRET_ID, secret=DEV_SECRET),),
    )
    return HubConfig(apps=(app,), limits=UNRATED)


def embedded_config(
    key: str,
    *,
    secret_keys: tuple[SecretKey, ...] = (),
    limits: Limits | None = None,
    max_connections: int = 100_000,
) -> HubConfig:
    """Return what a hub of one program runs with: one app, reached by keys that nobody else knows.

    Args:
        key: a publishable key for everything; `new_publishable_key()` makes one.
        secret_keys: pairs whose tokens are taken too; that needs the `hub` extra.
        limits: by default the usual ones with the message and connect rates off.
        max_connections: concurrent connections.
    """
    app = AppConfig(
        id="embedded",
        max_connections=max_connections,
        publishable_keys=(PublishableKey(key=key, channel_patterns=("**",)),),
        secret_keys=secret_keys,
    )
    return HubConfig(apps=(app,), limits=limits or UNRATED)
