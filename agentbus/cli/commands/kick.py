"""`agentbus kick`: close a peer's connections."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec import Struct

from agentbus.cli import console
from agentbus.cli.control import controlling
from agentbus.cli.operator import SecretPair, operator
from agentbus.cli.options import DEFAULT_URL, Json, Url
from agentbus.protocol import check_peer_id


class _Kicked(Struct, frozen=True, rename="camel"):
    peer_id: str
    closed: int


def kick(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="A peer id, as `agentbus peers` shows it.")],
    *,
    url: Url = DEFAULT_URL,
    secret_key: SecretPair = None,
    json: Json = False,
) -> None:
    """Close all connections of one peer with 4020, after which it does not come back by itself.

    Its token stays good: whoever still has it may connect again.
    """
    check_peer_id(peer)
    with controlling(operator(url, secret_key)) as plane:
        kicked = plane.call(_Kicked, "DELETE", "peers", peer)
    if json:
        console.data_json(kicked)
    else:
        plural = "" if kicked.closed == 1 else "s"
        console.say(f"{kicked.closed} connection{plural} of peer {kicked.peer_id} closed")
