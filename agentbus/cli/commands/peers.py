"""`agentbus peers`: who is in a channel now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from agentbus.cli import console
from agentbus.cli.control import controlling
from agentbus.cli.exits import failed
from agentbus.cli.operator import Operator, SecretPair, as_operator
from agentbus.cli.options import DEFAULT_URL, Access, Json, Key, Timeout, Token, Url, access
from agentbus.cli.session import connected
from agentbus.client import PresenceEvent
from agentbus.errors import FutureTimeoutError
from agentbus.protocol import PresencePeer, check_channel

Metadata = dict[str, object] | msgspec.Raw | None
Found = Sequence[tuple[str, Metadata]]


class _Roster(msgspec.Struct, frozen=True):
    channel: str
    peers: list[PresencePeer]


def peers(
    context: typer.Context,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Whose subscribers to print.")],
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    secret_key: SecretPair = None,
    json: Json = False,
    timeout: Timeout = 5.0,
) -> None:
    """Print who is subscribed to a channel; the credential needs the `presence` action.

    With a secret pair the hub is asked over REST, and nobody in the channel sees it.
    """
    check_channel(channel)
    asking = as_operator(context, url, secret_key, key, token)
    found = _seen(access(url, key, token), channel, timeout) if asking is None else _told(asking, channel)
    for peer_id, metadata in found:
        if json:
            console.data_json({"peerId": peer_id, "metadata": metadata})
        else:
            console.data(f"{peer_id}  {_shown(metadata)}".rstrip())
    if not json:
        console.say(f"{len(found)} in {channel}{'' if asking else ', this one not counted'}")


def _told(asking: Operator, channel: str) -> Found:
    with controlling(asking) as plane:
        roster = plane.call(_Roster, "GET", "channels", channel, "peers")
    return [(peer.peer_id, peer.metadata) for peer in roster.peers]


def _seen(wanted: Access, channel: str, timeout: float) -> Found:
    """Subscribe, and take the snapshot that comes with it."""
    with connected(wanted) as client, client.events(PresenceEvent) as events:
        client.subscribe(channel).get()
        try:
            snapshot = events.get(timeout=timeout)
        except FutureTimeoutError:
            raise failed(
                f"no roster of {channel} within {timeout:g} s: has the credential the presence action?"
            ) from None
    return [(peer.peer_id, peer.metadata) for peer in snapshot.joined]


def _shown(metadata: Metadata) -> str:
    return "" if metadata is None else console.json_line(msgspec.json.encode(metadata))
