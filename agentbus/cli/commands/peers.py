"""`agentbus peers`: who is in a channel now."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from agentbus.cli import console
from agentbus.cli.exits import failed
from agentbus.cli.options import DEFAULT_URL, Json, Key, Timeout, Token, Url, access
from agentbus.cli.session import connected
from agentbus.client import PresenceEvent
from agentbus.errors import FutureTimeoutError
from agentbus.protocol import check_channel


def peers(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Whose subscribers to print.")],
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    json: Json = False,
    timeout: Timeout = 5.0,
) -> None:
    """Print who is subscribed to a channel; the credential needs the `presence` action."""
    check_channel(channel)
    with connected(access(url, key, token)) as client, client.events(PresenceEvent) as events:
        client.subscribe(channel).get()
        try:
            snapshot = events.get(timeout=timeout)
        except FutureTimeoutError:
            raise failed(
                f"no roster of {channel} within {timeout:g} s: has the credential the presence action?"
            ) from None
    for peer in snapshot.joined:
        if json:
            console.data_json({"peerId": peer.peer_id, "metadata": peer.metadata})
        else:
            console.data(f"{peer.peer_id}  {_shown(peer.metadata)}".rstrip())
    if not json:
        console.say(f"{len(snapshot.joined)} in {channel}, this one not counted")


def _shown(metadata: dict[str, object] | None) -> str:
    return "" if metadata is None else console.json_line(msgspec.json.encode(metadata))
