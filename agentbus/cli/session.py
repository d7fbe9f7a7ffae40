"""One client for one command: connected before the work, disposed after it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from agentbus.cli.console import say
from agentbus.cli.exits import describe_unreached, failed
from agentbus.cli.options import Access
from agentbus.client import DisconnectedEvent, SignallingClient
from agentbus.errors import SignallingConnectError
from agentbus.protocol import CloseCode

DISPOSE_TIMEOUT = 2.0  # seconds; the close handshake itself takes at most 1 s (spec section 7)


def make_client(access: Access, *, auto_reconnect: bool) -> SignallingClient:
    """Make the client that a command line asks for; it is not connected."""
    token = access.token
    if token is None:
        return SignallingClient(api_key=access.key, url=access.origin.text, auto_reconnect=auto_reconnect)
    return SignallingClient(
        token_provider=lambda: token, url=access.origin.text, auto_reconnect=auto_reconnect
    )


@contextmanager
def connected(access: Access, *, auto_reconnect: bool = False) -> Generator[SignallingClient]:
    """Connect for the length of a block.

    Raises:
        SignallingConnectError: the hub refuses the credential.
        typer.Exit: the hub is not there.
    """
    client = make_client(access, auto_reconnect=auto_reconnect)
    try:
        connect(client, access)
        yield client
    finally:
        client.dispose().get(timeout=DISPOSE_TIMEOUT)


def connect(client: SignallingClient, access: Access) -> None:
    """Connect; say which credential was assumed if that is what the hub refused.

    Raises:
        SignallingConnectError: the hub refuses the credential.
        typer.Exit: the hub is not there.
    """
    try:
        client.connect().get()
    except SignallingConnectError as error:
        if access.assumed and CloseCode.of(error.close_code) is CloseCode.INVALID_TOKEN:
            say(
                f"no credential was named, so {access.key} was tried, which only `agentbus serve --dev` knows"
            )
        unreached = describe_unreached(error, access.origin.text)
        if unreached is not None:
            raise failed(unreached) from None
        raise


def describe_end(event: DisconnectedEvent) -> str:
    """One line about a connection that ended."""
    who = "" if event.code is CloseCode.ABNORMAL else "the hub said: "  # never on the wire: our own words
    said = f"; {who}{event.reason}" if event.reason else ""
    return f"connection ended: {int(event.code)}, {event.code.explanation}{said}"
