"""Calling the token provider: a stranger's function that may hang, fail, or return nonsense.

A sync provider runs on a daemon thread of its own, so that no pool can starve it; one that hangs is
abandoned with its thread when its time is up, and the next attempt gets another thread. An async one runs on
the loop that the program itself runs on. Whatever comes back is wrapped before anybody else sees it.

A provider's exception is kept, as the cause of ours, but without the frames that it passed through: their
locals are where tokens live (spec section 7, *secrets*). The message says which line raised it instead.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol

from agentbus.client.credentials import Credential
from agentbus.client.options import SignallingClientOptions, TokenProvider
from agentbus.errors import RuntimeFault, TokenProviderError
from agentbus.runtime import Future, Loop, VirtualClock
from agentbus.runtime.callbacks import is_async

Outcome = Credential | TokenProviderError
Deliver = Callable[[Outcome], object]
MOST_HANGING_CALLS = 16


def credential_source(options: SignallingClientOptions, loop: Loop) -> CredentialSource:
    """Give what a client's attempts get their credentials from."""
    if options.token_provider is None:
        return _KeySource(options.api_key)
    return TokenSource(options.token_provider, options.token_provider_timeout, loop)


class CredentialSource(Protocol):
    """Gives a credential for every attempt."""

    def fetch(self, async_loop: Loop, deliver: Deliver) -> Cancellable:
        """Call `deliver` once with the credential or with the reason why there is none, unless cancelled."""
        ...


class Cancellable(Protocol):
    """Something under way."""

    def cancel(self) -> object:
        """Want its outcome no more."""
        ...


class _KeySource:
    """Gives the same key every time."""

    def __init__(self, key: object) -> None:
        self._key = key

    def fetch(self, async_loop: Loop, deliver: Deliver) -> Cancellable:
        """Give it at once."""
        del async_loop  # keys need none
        if isinstance(self._key, Credential):
            deliver(self._key)
        return self

    def cancel(self) -> None:
        """Do nothing: it is given."""


class TokenSource:
    """Fetches a fresh token for every attempt.

    Args:
        provider: the user's function.
        timeout: seconds that one call may take.
        loop: where `fetch` is called and its outcome delivered. On virtual time there are no threads, and a
            sync provider is called right there.
    """

    def __init__(self, provider: TokenProvider, timeout: float, loop: Loop) -> None:
        self._provider = provider
        self._timeout = timeout
        self._loop = loop
        self._hanging = 0

    def __repr__(self) -> str:
        return "<token source>"

    def fetch(self, async_loop: Loop, deliver: Deliver) -> Fetch:
        """Call the provider once.

        Args:
            async_loop: where an async provider runs.
            deliver: gets the outcome, once, on the source's own loop; never if the fetch is cancelled.
        """
        fetch = Fetch(self._loop, async_loop, deliver, self._timeout)
        if is_async(self._provider) or isinstance(self._loop.clock, VirtualClock):
            fetch.came(_call(self._provider))
        elif self._hanging >= MOST_HANGING_CALLS:
            fetch.came(TokenProviderError(f"{self._hanging} earlier calls of the token provider still hang"))
        else:
            self._hanging += 1
            thread = threading.Thread(
                target=self._in_thread, args=(fetch,), name="agentbus-token", daemon=True
            )
            thread.start()
        return fetch

    def _in_thread(self, fetch: Fetch) -> None:
        outcome = _call(self._provider)
        with contextlib.suppress(RuntimeFault):  # the loop has ended: nobody waits any more
            self._loop.call_soon(self._returned, fetch, outcome)

    def _returned(self, fetch: Fetch, outcome: Any) -> None:
        self._hanging -= 1
        fetch.came(outcome)


class Fetch:
    """One call of the provider, until its outcome is delivered or it is cancelled."""

    def __init__(self, loop: Loop, async_loop: Loop, deliver: Deliver, timeout: float) -> None:
        self._loop = loop
        self._async_loop = async_loop
        self._deliver: Deliver | None = deliver
        self._timeout = timeout
        self._running: Future[Outcome] | None = None
        self._awaitable: Any = None
        self._timer = loop.call_later(timeout, self._time_out)

    def came(self, outcome: Any) -> None:
        """Take what the call returned: an outcome, or something to await first."""
        if isinstance(outcome, Credential | TokenProviderError):
            self._finish(outcome)
        elif self._deliver is None:
            _discard(outcome)
        else:
            self._run(outcome)

    def cancel(self) -> None:
        """Want the outcome no more; a call that hangs goes on hanging, alone."""
        self._timer.cancel()
        self._deliver = None
        if self._running is not None and self._running.cancel():
            with contextlib.suppress(RuntimeFault):  # its loop has ended, and with it all that ran there
                self._async_loop.call_soon(_discard_unstarted, self._awaitable)

    def _run(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        try:
            self._running = self._async_loop.run(_await(awaitable))
        except RuntimeFault:
            _discard(awaitable)
            self._finish(TokenProviderError("the loop that the token provider runs on is closed"))
        else:
            self._running.add_done_callback(lambda future: self._loop.call_soon(self._awaited, future))

    def _awaited(self, future: Future[Outcome]) -> None:
        if future.cancelled() or future.exception() is not None:
            self._finish(TokenProviderError("the loop that the token provider runs on has ended"))
        else:
            self._finish(future.get(0))

    def _time_out(self) -> None:
        deliver = self._deliver
        self.cancel()
        if deliver is not None:
            deliver(TokenProviderError(f"the token provider gave no token within {self._timeout:g} s"))

    def _finish(self, outcome: Outcome) -> None:
        deliver = self._deliver
        self._timer.cancel()
        self._deliver = None
        if deliver is not None:
            deliver(outcome)


# -- the stranger's function -------------------------------------------------------------------------------


def _call(provider: TokenProvider) -> Any:
    try:
        return _sealed(provider())
    except BaseException as error:  # noqa: BLE001 -- also SystemExit: a provider ends no attempt but its own
        return _failure(error)


async def _await(awaitable: Awaitable[Any]) -> Outcome:
    try:
        return _sealed_token(await awaitable)
    except BaseException as error:  # noqa: BLE001 -- as above; a cancelled provider is a failed one
        return _failure(error)


def _sealed(result: Any) -> Any:
    return result if inspect.isawaitable(result) else _sealed_token(result)


def _sealed_token(token: object) -> Outcome:
    if not isinstance(token, str):
        return TokenProviderError(f"the token provider returned {type(token).__name__}, not a string")
    return Credential.token(token) if token else TokenProviderError("the token provider returned no token")


def _discard_unstarted(awaitable: Any) -> None:
    """Close a coroutine whose turn never came, or Python warns that nobody awaited it; on its own loop."""
    if inspect.iscoroutine(awaitable) and inspect.getcoroutinestate(awaitable) == inspect.CORO_CREATED:
        awaitable.close()


def _discard(awaitable: Any) -> None:
    close = getattr(awaitable, "close", None) or getattr(awaitable, "cancel", None)
    if close is not None:
        close()


def _failure(error: BaseException) -> TokenProviderError:
    failure = TokenProviderError(f"the token provider raised {type(error).__name__}{_where(error)}")
    failure.__cause__ = error
    _drop_frames(error)
    return failure


def _where(error: BaseException) -> str:
    place: TracebackType | None = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None:
        return ""
    code = place.tb_frame.f_code
    return f" ({os.path.basename(code.co_filename)}:{place.tb_lineno} in {code.co_name})"  # noqa: PTH119 -- a path of any system


def _drop_frames(error: BaseException) -> None:
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        left += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
