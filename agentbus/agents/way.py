"""How a bus reaches its hub, another's or one of its own, and whom it believes there."""

from __future__ import annotations

import logging
import ssl as tls
from typing import TYPE_CHECKING

from agentbus.agents.permissions import Grants
from agentbus.agents.trust import TrustMode, check_mode
from agentbus.agents.uplink import RECONNECT
from agentbus.client import SignallingClientOptions, TokenProvider
from agentbus.errors import AgentBusError
from agentbus.runtime import Runtime
from agentbus.wire.transport import TransportFactory

if TYPE_CHECKING:
    from agentbus.agents.embedded import OwnHub

DEV_KEY = "pk_live_dev"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
ALL = Grants(subscribe=True, publish=True, send=True, presence=True, inbox=True)


class Way:
    """The way to a hub, made when the bus is, so that mistakes show at once.

    Attributes:
        hub: the bus's own hub; None if it is another's.
        trust: whom to believe.
        grants: what the credential permits, where that is known.
    """

    def __init__(
        self,
        options: SignallingClientOptions | None,
        hub: OwnHub | None,
        trust: TrustMode,
        logger: logging.Logger | None = None,
    ) -> None:
        check_mode(trust)
        self._options = options
        self._logger = logger
        self.hub = hub
        self.trust: TrustMode = trust
        self.grants = None if hub is None else ALL

    @property
    def url(self) -> str | None:
        """Where the hub is; None for one in memory."""
        if self.hub is None:
            return None if self._options is None else self._options.url
        return None if self.hub.transport_factory is not None else self.hub.url

    async def open(self) -> SignallingClientOptions:
        """Start the bus's own hub, if it has one; give what a client of the hub is made of.

        Raises:
            HubConfigError: its address can't be used.
        """
        if self._options is not None:
            return self._options
        hub = self.hub
        if hub is None:
            raise AssertionError("a way leads to one's own hub or to another's")
        await hub.start()
        return SignallingClientOptions(
            api_key=hub.key,
            url=hub.url,
            reconnect=RECONNECT,
            transport_factory=hub.transport_factory,
            logger=self._logger,
        )

    def joinable(self) -> SignallingClientOptions:
        """Give the options of a client of another's hub, for a child process to join it too.

        Raises:
            AgentBusError: the way can't be taken from another process.
        """
        options = self._options
        if options is None or options.transport_factory is not None or options.ssl is not None:
            raise AgentBusError(
                "a bus with transport_factory= or ssl= can't be joined by the agents in its child processes"
            )
        return options

    async def close(self) -> None:
        """Stop the bus's own hub, if it has one."""
        if self.hub is not None:
            await self.hub.stop()


def find_way(
    url: str | None,
    *,
    api_key: str | None,
    token_provider: TokenProvider | None,
    listen: str | None,
    trust: TrustMode | None,
    transport_factory: TransportFactory | None,
    ssl: tls.SSLContext | None,
    logger: logging.Logger | None,
    runtime: Runtime,
) -> Way:
    """Find the way to another's hub by its URL, or bring a hub along; the arguments are those of `Bus`.

    Raises:
        ValueError: arguments that do not go together.
        InvalidUrlError: a URL that the protocol refuses, or `listen` is no host and port.
    """
    development = api_key == DEV_KEY
    try:
        _check_together(url, listen, api_key or token_provider or transport_factory)
        if url is None:
            return _with_own_hub(listen, trust, runtime, logger)
        options = SignallingClientOptions(
            api_key=api_key,
            token_provider=token_provider,
            url=url,
            reconnect=RECONNECT,
            transport_factory=transport_factory,
            ssl=ssl,
            logger=logger,
        )
    finally:
        del api_key, url  # a traceback shows the locals of this frame, and secrets were among them
    all_friends = development and options.origin.host in LOOPBACK
    return Way(options, None, trust or ("all" if all_friends else "tokens"))


def _check_together(url: str | None, listen: str | None, credential: object) -> None:
    """Refuse two hubs, or a credential for none."""
    has_url, has_credential = url is not None, credential is not None
    del url, credential
    if has_url and listen is not None:
        raise ValueError("give a bus either a url or listen=, not both")
    if has_credential and not has_url:
        raise ValueError("a credential goes with a url; without one the bus brings its own hub")


def _with_own_hub(
    listen: str | None, trust: TrustMode | None, runtime: Runtime, logger: logging.Logger | None
) -> Way:
    """Bring a hub along. Who knows its key was given it by this program, so all are believed."""
    from agentbus.agents.embedded import own_hub  # the hub is loaded only where it is needed

    return Way(None, own_hub(listen, runtime), trust or "all", logger)
