"""Our errors where users of pykka expect pykka's: each is both."""

from __future__ import annotations

import asyncio
import queue

import pykka

from agentbus.errors import ActorStoppedError, AgentFailed, FutureTimeoutError, RuntimeFault


class FutureTimeout(FutureTimeoutError, pykka.Timeout):
    """`Future.get(timeout)` ran out, also for those who catch `pykka.Timeout`."""


class FutureStateError(RuntimeFault, asyncio.InvalidStateError, queue.Full):
    """A future was set twice (pykka says `queue.Full`), or asked for an outcome that it does not have yet."""


class RelayedFailure(AgentFailed):
    """The failure of a handler that runs elsewhere on behalf of this one; askers get what it says."""


class ActorGoneError(ActorStoppedError, pykka.ActorDeadError):
    """The actor ended before it handled the message, also for those who catch `pykka.ActorDeadError`."""
