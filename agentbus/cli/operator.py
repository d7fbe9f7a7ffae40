"""Who steers a hub: a secret pair, from the command line or the environment."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import Struct

from agentbus.cli.exits import misused
from agentbus.cli.options import is_this_machine
from agentbus.protocol import Origin, check_origin

SecretPair = Annotated[
    str | None,
    typer.Option(
        "--secret-key",
        envvar="AGENTBUS_SECRET_KEY",
        metavar="ID:SECRET",
        help="Asks as an operator. Others see a command line: prefer the variable.",
        show_default=False,
    ),
]


class Operator(Struct, frozen=True):
    """Where a command steers, and the pair that it shows there; its repr holds no credential.

    Attributes:
        origin: the hub.
        pair: `ID:SECRET`.
        assumed: whether nobody named a pair, and the development pair stands in.
    """

    origin: Origin
    pair: str
    assumed: bool = False

    def __repr__(self) -> str:
        return f"Operator({self.origin.text}, pair=...)"


def operator(url: str, pair: str | None) -> Operator:
    """Check what was given; without a pair, a hub on this machine is asked with the development pair.

    Raises:
        InvalidUrlError: the URL is none of a hub.
        typer.Exit: no pair for a hub elsewhere, or one that is none.
    """
    origin = check_origin(url)
    if pair:
        return Operator(origin, _checked(pair))
    if not is_this_machine(origin):
        raise misused(f"{origin.text} needs a secret pair: AGENTBUS_SECRET_KEY=ID:SECRET or --secret-key")
    from agentbus.hub.server.presets import DEV_SECRET, DEV_SECRET_ID

    return Operator(origin, f"{DEV_SECRET_ID}:{DEV_SECRET}", assumed=True)


def as_operator(
    context: typer.Context, url: str, pair: str | None, key: str | None, token: str | None
) -> Operator | None:
    """Decide whether a command that can do both asks over REST: None where it connects as a client.

    A pair on the command line wins over a key or token of the environment, any of these over a pair of the
    environment.

    Raises:
        typer.Exit: a pair and another credential, both on the command line.
    """
    source = context.get_parameter_source("secret_key")
    named = source is not None and source.name == "COMMANDLINE"
    others = [name for name, value in (("key", key), ("token", token)) if value]
    if not pair or (others and not named):
        return None
    for name in others:
        where = context.get_parameter_source(name)
        if where is not None and where.name == "COMMANDLINE":
            raise misused(f"give --secret-key or --{name}, not both")
    return operator(url, pair)


def _checked(pair: str) -> str:
    key_id, _, secret = pair.partition(":")
    if not key_id or not secret:
        raise misused("a secret pair is ID:SECRET, say sk_id_…:sk_secret_…")
    if not pair.isprintable():
        raise misused("a secret pair holds printable characters alone: is this the right one?")
    return pair
