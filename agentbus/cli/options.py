"""Options that several commands share: which hub, as whom, and in which form the answer comes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from msgspec import Struct

from agentbus.cli.exits import misused
from agentbus.protocol import Origin, check_origin

DEFAULT_URL = "ws://127.0.0.1:7700"
DEVELOPMENT_KEY = "pk_live_dev"
_THIS_MACHINE = {"127.0.0.1", "localhost", "::1"}

Url = Annotated[
    str,
    typer.Option("--url", envvar="AGENTBUS_URL", metavar="URL", help="The hub: wss://HOST[:PORT]."),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key", envvar="AGENTBUS_KEY", metavar="KEY", help="A publishable key.", show_default=False
    ),
]
Token = Annotated[
    str | None,
    typer.Option("--token", envvar="AGENTBUS_TOKEN", metavar="JWT", help="A token instead of a key."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, one value per line.")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=0.1, metavar="SECONDS", help="Wait at most this long.")
]


class Trust(StrEnum):
    """Whom a node believes."""

    ALL = "all"
    TOKENS = "tokens"


Namespace = Annotated[
    str,
    typer.Option(
        "--namespace", envvar="AGENTBUS_NAMESPACE", metavar="NAME", help="Agents of others never meet it."
    ),
]
TrustOption = Annotated[
    Trust | None,
    typer.Option("--trust", envvar="AGENTBUS_TRUST", help="Whom to believe: all, or tokens of nodes."),
]


class Access(Struct, frozen=True):
    """Where a command connects to, and the credential that it shows there; its repr holds no credential.

    Attributes:
        origin: the hub.
        key: a publishable key, or None.
        token: a JWT, or None; exactly one of the two is set.
        assumed: whether nobody named a credential, and the development key stands in.
    """

    origin: Origin
    key: str | None
    token: str | None
    assumed: bool = False

    def __repr__(self) -> str:
        return f"Access({self.origin.text}, {'key' if self.key else 'token'}=...)"


def is_this_machine(origin: Origin) -> bool:
    """Whether a hub there may be one for development, with credentials that everybody knows."""
    return origin.host in _THIS_MACHINE


def access(url: str, key: str | None, token: str | None) -> Access:
    """Check what was given; without a credential, a hub on this machine is asked with the development key.

    Raises:
        InvalidUrlError: the URL is none of a hub.
        typer.Exit: both credentials, or none for a hub elsewhere.
    """
    origin = check_origin(url)
    if key and token:
        raise misused("give --key or --token (or AGENTBUS_KEY or AGENTBUS_TOKEN), not both")
    if key or token:
        return Access(origin, key or None, token or None)
    if is_this_machine(origin):
        return Access(origin, DEVELOPMENT_KEY, None, assumed=True)
    raise misused(f"{origin.text} needs a credential: --key or --token (or AGENTBUS_KEY or AGENTBUS_TOKEN)")
