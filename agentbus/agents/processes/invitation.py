"""How an agent in a child process reaches the hub: through the parent, and only when it needs the bus."""

from __future__ import annotations

from agentbus.agents.processes.frames import Invited
from agentbus.agents.way import Way
from agentbus.client.credentials import Credential
from agentbus.client.options import SignallingClientOptions
from agentbus.client.tokens import credential_source
from agentbus.errors import AgentBusError, TokenProviderError
from agentbus.runtime import Future, Loop, Runtime


async def invitation(way: Way, runtime: Runtime, home: Loop) -> Invited:
    """Give what a child process joins with: the key or a fresh token. On the I/O loop.

    Args:
        way: the parent's own way to the hub.
        runtime: the parent's.
        home: where an async token provider runs.
    """
    try:
        if way.hub is not None:
            return Invited(await way.hub.open_door(), "key", way.hub.key)
        options = way.joinable()
        kind, secret = (await _credential(options, runtime, home)).hand_over()
    except (AgentBusError, OSError) as error:
        return Invited(problem=str(error))
    return Invited(options.url, kind, secret)


async def _credential(options: SignallingClientOptions, runtime: Runtime, home: Loop) -> Credential:
    found: Future[Credential | TokenProviderError] = Future()
    credential_source(options, runtime.io).fetch(home, found.set)
    outcome = await found
    if isinstance(outcome, TokenProviderError):
        raise outcome
    return outcome
