"""`agentbus keys`: make credentials for a hub, and the configuration that holds them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from agentbus.cli import console
from agentbus.cli.exits import misused
from agentbus.cli.help import Command, Group
from agentbus.cli.options import Json
from agentbus.hub.core.config import AppId
from agentbus.hub.server.keys import new_publishable_key, new_secret_pair

keys = typer.Typer(cls=Group, no_args_is_help=True, help="Make keys, and a hub.toml that holds them.")

_APP = """\
[[apps]]
id = "{app}"

[[apps.publishable_keys]]
key = "{publishable_key}"
channel_patterns = ["**"]
actions = ["publish", "subscribe", "presence", "send"]

[[apps.secret_keys]]
id = "{secret_id}"
secret = "{secret}"
channel_patterns = ["**"]
actions = ["publish", "subscribe", "presence", "send"]
"""
_FILE = """\
# The configuration of an agentbus hub: agentbus serve --config {name}
# It holds a secret: keep it out of version control and readable for its owner alone.

[server]
host = "127.0.0.1"
port = 7700

"""


class KeySet(Struct, frozen=True):
    """One app's credentials: a public key for clients, and the pair that signs tokens."""

    app: str
    publishable_key: str
    secret_id: str
    secret: str

    def as_toml(self) -> str:
        """The section of a hub.toml that grants everything to both."""
        return _APP.format(
            app=self.app, publishable_key=self.publishable_key, secret_id=self.secret_id, secret=self.secret
        )


App = Annotated[str, typer.Option("--app", metavar="ID", help="The app's id.")]


@keys.command("new", cls=Command)
def new(*, app: App = "main", json: Json = False) -> None:
    """Print a fresh set of keys, as a section for a hub.toml."""
    made = make_keys(app)
    if json:
        console.data_json(made)
        return
    for line in made.as_toml().splitlines():
        console.data(line)


@keys.command("init", cls=Command)
def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where to write it.", show_default=True)
    ] = Path("hub.toml"),
    *,
    app: App = "main",
    json: Json = False,
) -> None:
    """Write a hub.toml with a fresh set of keys; an existing file is never overwritten."""
    made = make_keys(app)
    text = _FILE.format(name=file.name) + made.as_toml()
    try:
        _write_private(file, text)
    except FileExistsError:
        raise misused(
            f"{file} exists already; name another file, or take keys from `agentbus keys new`"
        ) from None
    except OSError as error:
        raise misused(f"{file}: {error.strerror}") from None
    console.say(f"wrote {file} (readable for you alone); start the hub: agentbus serve --config {file}")
    if json:
        console.data_json(
            {"file": str(file), "publishable_key": made.publishable_key, "secret_id": made.secret_id}
        )
    else:
        console.data(f"publishable key  {made.publishable_key}")
        console.data(f"secret key id    {made.secret_id}")


def make_keys(app: str) -> KeySet:
    """Make keys that nobody else has, for one app.

    Raises:
        typer.Exit: a hub would not take the app's id.
    """
    try:
        msgspec.convert(app, AppId)
    except msgspec.ValidationError:
        raise misused("--app: 1 to 64 letters, digits, '-', '_' and '.'") from None
    secret_id, secret = new_secret_pair()
    return KeySet(
        app=app,
        publishable_key=new_publishable_key(),
        secret_id=secret_id,
        secret=secret,
    )


def _write_private(file: Path, text: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
