"""`agentbus sub`: print what arrives, one line each, until Ctrl-C or SIGTERM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import typer

from agentbus.cli import console
from agentbus.cli.exits import failed, misused
from agentbus.cli.options import DEFAULT_URL, Json, Key, Token, Url, access
from agentbus.cli.session import connected, describe_end
from agentbus.cli.signals import terminated_like_ctrl_c
from agentbus.client import (
    ChannelMessage,
    ConnectedEvent,
    DirectMessage,
    DisconnectedEvent,
    PresenceEvent,
    PresencePeer,
    SignallingClient,
)
from agentbus.protocol import check_channel

Shown = ChannelMessage | DirectMessage | PresenceEvent


def subscribe(
    channels: Annotated[
        list[str] | None, typer.Argument(metavar="CHANNEL", help="What to subscribe to.")
    ] = None,
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    json: Json = False,
    count: Annotated[
        int, typer.Option("--count", "-n", min=0, metavar="N", help="End after that many; 0: never.")
    ] = 0,
    presence: Annotated[bool, typer.Option("--presence", help="Also print who comes and goes.")] = False,
    direct: Annotated[bool, typer.Option("--direct", help="Also print messages sent to this peer.")] = False,
    metadata: Annotated[bool, typer.Option("--metadata", help="Ask for the senders' metadata.")] = False,
) -> None:
    """Print what is published to channels, until Ctrl-C; reconnects by itself."""
    wanted = channels or []
    if not wanted and not direct:
        raise misused("name a channel, or ask for --direct")
    for channel in wanted:
        check_channel(channel)
    shown = _kinds(presence=presence, direct=direct)
    try:
        with terminated_like_ctrl_c(), connected(access(url, key, token), auto_reconnect=True) as client:
            _follow(client, wanted, shown, count=count, json=json, metadata=metadata)
    except KeyboardInterrupt:
        return  # the way to end it


def _kinds(*, presence: bool, direct: bool) -> tuple[type[Shown], ...]:
    kinds: list[type[Shown]] = [ChannelMessage]
    kinds += [PresenceEvent] if presence else []
    kinds += [DirectMessage] if direct else []
    return tuple(kinds)


def _follow(
    client: SignallingClient,
    channels: Sequence[str],
    shown: tuple[type[Shown], ...],
    *,
    count: int,
    json: bool,
    metadata: bool,
) -> None:
    events = client.events(*shown, ConnectedEvent, DisconnectedEvent)
    for done in [client.subscribe(one, include_sender_metadata=metadata) for one in channels]:
        done.get()
    console.say(f"connected as {client.peer_id}; Ctrl-C ends")
    printed = 0
    for event in events:
        if isinstance(event, ConnectedEvent):
            console.say(f"connected again as {event.peer_id}")
        elif isinstance(event, DisconnectedEvent):
            _on_disconnected(event)
        else:
            console.data_json(_record(event)) if json else console.data(_line(event))
            printed += 1
            if printed == count:
                return


def _on_disconnected(event: DisconnectedEvent) -> None:
    if not event.will_reconnect:
        raise failed(describe_end(event))
    console.say(f"{describe_end(event)}; connecting again")


def _line(event: Shown) -> str:
    if isinstance(event, PresenceEvent):
        changes = [f"+{peer.peer_id}" for peer in event.joined] + [f"-{peer.peer_id}" for peer in event.left]
        return f"{event.channel}  {' '.join(changes) or '(nobody else)'}"
    where = event.channel if isinstance(event, ChannelMessage) else "(direct)"
    return f"{where}  {event.sender}  {console.json_line(event.raw)}"


def _record(event: Shown) -> dict[str, Any]:
    if isinstance(event, PresenceEvent):
        return {
            "type": "presence",
            "channel": event.channel,
            "joined": [_peer(peer) for peer in event.joined],
            "left": [_peer(peer) for peer in event.left],
            "snapshot": event.is_snapshot,
        }
    head = (
        {"type": "message", "channel": event.channel}
        if isinstance(event, ChannelMessage)
        else {"type": "direct"}
    )
    by = {"fromMetadata": event.sender_metadata} if event.sender_metadata is not None else {}
    return {**head, "from": event.sender, **by, "data": msgspec.Raw(event.raw)}


def _peer(peer: PresencePeer) -> dict[str, Any]:
    return {"peerId": peer.peer_id} | ({} if peer.metadata is None else {"metadata": peer.metadata})
