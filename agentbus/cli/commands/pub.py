"""`agentbus pub` and `agentbus send`: messages to a channel, or to one peer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from agentbus.cli import console
from agentbus.cli.commands.messages import STDIN, NotJsonError, payloads
from agentbus.cli.control import MAX_BODY_BYTES, ControlPlane, controlling
from agentbus.cli.exits import misused
from agentbus.cli.operator import Operator, SecretPair, as_operator
from agentbus.cli.options import DEFAULT_URL, Json, Key, Token, Url, access
from agentbus.cli.session import connected
from agentbus.protocol import check_channel, check_peer_id
from agentbus.runtime import Future

IN_FLIGHT = 64  # messages that wait for their acknowledgement at a time

Message = Annotated[
    str, typer.Argument(metavar="JSON|-", help="One JSON value, or - for one per line of standard input.")
]


class _Published(msgspec.Struct, frozen=True):
    channel: str
    delivered: int


def publish(
    context: typer.Context,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="Where to publish.")],
    message: Message,
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    secret_key: SecretPair = None,
    json: Json = False,
) -> None:
    """Publish to a channel; done when the hub has acknowledged every message.

    With a secret pair the hub is asked over REST: the sender is `system`, and the hub says how many got it.
    """
    check_channel(channel)
    asking = as_operator(context, url, secret_key, key, token)
    if asking is not None:
        _publish_by_rest(asking, channel, message, json=json)
        return
    with connected(access(url, key, token)) as client:
        count = _pass_on(message, lambda data: client.publish(channel, data))
    _report(count, {"channel": channel}, f"to {channel}", json=json)


def _publish_by_rest(asking: Operator, channel: str, message: str, *, json: bool) -> None:
    count = delivered = 0
    with controlling(asking) as plane:
        try:
            for payload in payloads(message):
                delivered += _post(plane, channel, payload)
                count += 1
        except NotJsonError as error:
            raise misused(f"{error}{_before(message, count)}") from None
    if json:
        console.data_json({"channel": channel, "sent": count, "delivered": delivered})
    else:
        console.say(f"{_counted(count, 'message')} to {channel}, delivered {_counted(delivered, 'time')}")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _post(plane: ControlPlane, channel: str, payload: msgspec.Raw) -> int:
    body = b'{"data":' + bytes(payload) + b"}"
    if len(body) > MAX_BODY_BYTES:
        raise misused(
            f"over REST a message has at most {MAX_BODY_BYTES} bytes: give --key or --token for more"
        )
    return plane.call(_Published, "POST", "channels", channel, "publish", body=body).delivered


def send(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="A peer id, as `agentbus peers` shows it.")],
    message: Message,
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    json: Json = False,
) -> None:
    """Send to one peer; done when the hub has handed every message over."""
    check_peer_id(peer)
    with connected(access(url, key, token)) as client:
        count = _pass_on(message, lambda data: client.send(peer, data))
    _report(count, {"to": peer}, f"to peer {peer}", json=json)


def _pass_on(message: str, call: Callable[[msgspec.Raw], Future[None]]) -> int:
    """Send every payload, in order, with a bounded number in flight; the first refusal ends it.

    A line that is no JSON ends it, too, once the hub has what came before that line.
    """
    count = 0
    waiting: deque[Future[None]] = deque()
    try:
        for payload in payloads(message):
            waiting.append(call(payload).quiet())  # of several refusals, the first is what people are told
            count += 1
            if len(waiting) == IN_FLIGHT:
                waiting.popleft().get()
    except NotJsonError as error:
        _wait_for_all(waiting)
        raise misused(f"{error}{_before(message, count)}") from None
    _wait_for_all(waiting)
    return count


def _before(message: str, count: int) -> str:
    if message != STDIN:
        return ""
    return f"; {count or 'no'} message{' was' if count == 1 else 's were'} sent before it, nothing after it"


def _wait_for_all(waiting: deque[Future[None]]) -> None:
    while waiting:
        waiting.popleft().get()


def _report(count: int, where: dict[str, str], whither: str, *, json: bool) -> None:
    if json:
        console.data_json({**where, "sent": count})
    else:
        console.say(f"{_counted(count, 'message')} {whither}")
