"""`agentbus token`: sign a JWT that lets one peer in."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from agentbus.agents.trust import node_metadata
from agentbus.cli import console
from agentbus.cli.control import controlling
from agentbus.cli.exits import misused
from agentbus.cli.operator import operator
from agentbus.cli.options import Json
from agentbus.errors import TokenError
from agentbus.protocol import check_asserted_peer_id

ACTIONS = ("publish", "subscribe", "presence", "send")
LONGEST = 10 * 365 * 86_400.0  # seconds; longer is a typing mistake

Signer = Annotated[
    str | None,
    typer.Option(
        "--secret-key",
        envvar="AGENTBUS_SECRET_KEY",
        metavar="ID:SECRET",
        help="The pair that signs. On a command line others can see it: prefer the variable, or --config.",
    ),
]
Hub = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Have this hub sign, at most for a day, as the pair may."),
]
Config = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Take the first pair of this hub.toml.")
]
Dev = Annotated[bool, typer.Option("--dev", help="Sign for `agentbus serve --dev`.")]


class _Minted(msgspec.Struct, frozen=True, rename="camel"):
    token: str
    expires_at: int


def token(
    peer: Annotated[str, typer.Argument(metavar="PEER", help="The peer id that the token asserts.")],
    *,
    secret_key: Signer = None,
    config: Config = None,
    dev: Dev = False,
    url: Hub = None,
    expires: Annotated[
        float, typer.Option("--expires", min=1, max=LONGEST, metavar="SECONDS", help="How long it is valid.")
    ] = 3600.0,
    channel: Annotated[
        list[str] | None, typer.Option("--channel", metavar="PATTERN", help="Only these; may be repeated.")
    ] = None,
    permission: Annotated[
        list[str] | None, typer.Option("--permission", metavar="ACTION", help="Only these; may be repeated.")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option("--metadata", metavar="JSON", help="An object for the peer's own welcome.")
    ] = None,
    peer_metadata: Annotated[
        str | None, typer.Option("--peer-metadata", metavar="JSON", help="An object that other peers see.")
    ] = None,
    node: Annotated[bool, typer.Option("--node", help="Let the peer host agents (a trusted node).")] = False,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", metavar="NAME", help="With --node; default: default.")
    ] = None,
    json: Json = False,
) -> None:
    """Sign a token for one peer: here, without asking the hub; or with --url by the hub.

    A hub checks what it signs: it refuses channels and permissions that the pair does not have itself.
    """
    check_asserted_peer_id(peer)
    for action in permission or ():
        if action not in ACTIONS:
            raise misused(f"--permission: one of {', '.join(ACTIONS)}")
    if namespace and not node:
        raise misused("--namespace belongs to --node")
    shown = _object(peer_metadata, "--peer-metadata")
    if node:
        shown = (shown or {}) | node_metadata(*(namespace or ["default"]))
    claims = {"channels": channel, "permissions": permission, "peer_metadata": shown}
    claims["metadata"] = _object(metadata, "--metadata")
    pair = _pair(secret_key, config, dev=dev)
    signed = _signed(pair, peer, expires, claims) if url is None else _asked(url, pair, peer, expires, claims)
    _print(signed, peer, json=json)


def _print(signed: tuple[str, float], peer: str, *, json: bool) -> None:
    jwt, expires_at = signed
    if json:
        console.data_json({"token": jwt, "peerId": peer, "expiresAt": int(expires_at)})
    else:
        console.data(jwt)


def _signed(pair: tuple[str, str], peer: str, lifetime: float, claims: dict[str, Any]) -> tuple[str, float]:
    from agentbus.hub.server.tokens import mint

    now = time.time()
    try:
        jwt = mint(*pair, subject=peer, issued_at=now, lifetime=lifetime, **claims)
    except TokenError as error:
        raise misused(f"a hub would refuse this token: {error.problem}") from None
    return jwt, now + lifetime


def _asked(
    url: str, pair: tuple[str, str], peer: str, lifetime: float, claims: dict[str, Any]
) -> tuple[str, float]:
    """Have the hub sign. AGENTBUS_URL alone does not: what is signed here is as good, and needs no hub."""
    body = {
        "peerId": peer,
        "expiresInSec": int(lifetime),
        "channels": claims["channels"],
        "permissions": claims["permissions"],
        "metadata": claims["metadata"],
        "peerMetadata": claims["peer_metadata"],
    }
    given = {name: value for name, value in body.items() if value is not None}
    with controlling(operator(url, ":".join(pair))) as plane:
        minted = plane.call(_Minted, "POST", "tokens", body=msgspec.json.encode(given))
    return minted.token, minted.expires_at


def _pair(secret_key: str | None, config: Path | None, *, dev: bool) -> tuple[str, str]:
    """Find the pair that signs; exactly one source may name it, the environment last."""
    from agentbus.hub.server.presets import DEV_SECRET, DEV_SECRET_ID
    from agentbus.hub.server.settings import load_settings

    if dev and config:
        raise misused("--dev and --config exclude each other")
    if dev:
        return DEV_SECRET_ID, DEV_SECRET
    if config:
        pairs = [pair for app in load_settings(config).hub.apps for pair in app.secret_keys]
        if not pairs:
            raise misused(f"{config}: apps: no app has a secret key")
        return pairs[0].id, pairs[0].secret
    key_id, _, secret = (secret_key or "").partition(":")
    if not key_id or not secret:
        raise misused("name the signing pair: --config hub.toml, --dev, or AGENTBUS_SECRET_KEY=ID:SECRET")
    return key_id, secret


def _object(text: str | None, option: str) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError):
        raise misused(f"{option}: not a JSON object") from None
