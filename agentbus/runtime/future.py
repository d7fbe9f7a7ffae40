"""One handle for both worlds: `.get(timeout)` from a thread, `await` from any event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import pykka

from agentbus.errors import FutureCancelledError
from agentbus.runtime import blocking
from agentbus.runtime.faults import FutureStateError, FutureTimeout
from agentbus.runtime.hook import GetHook, Hook
from agentbus.runtime.outcome import CANCELLED, FAILED, HOOKED, NAMES, VALUE, ExcInfo, Failure, as_error
from agentbus.runtime.settling import Settling
from agentbus.runtime.waiting import LoopWaiter, ThreadWaiter
from agentbus.runtime.wakeup import burst_here

T = TypeVar("T")
M = TypeVar("M")


class Future(Settling[T]):
    """A result that is there now or later.

    Args:
        cancellable_by_waiter: whether cancelling a task that awaits this cancels this too. True where nobody
            else can want the result, such as an ask; False where the work goes on, such as a publish.
    """

    _quiet = False

    @staticmethod
    def completed(value: M) -> Future[M]:
        """Make a future that has its value."""
        future: Future[M] = Future()
        future.set(value)
        return future

    @staticmethod
    def failed(error: BaseException) -> Future[Any]:
        """Make a future that has failed."""
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    def __repr__(self) -> str:
        result = self._result  # its value may be a secret: the class is enough
        told = result.error if self._state == FAILED else result
        what = f": {type(told).__qualname__}" if self._state in (VALUE, FAILED) and told is not None else ""
        return f"<agentbus.Future {NAMES.get(self._state, 'pending')}{what}>"

    # -- the producer's side --------------------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Give the value; a cancelled future takes it in silence.

        Raises:
            FutureStateError: there is a result already. It is also a `queue.Full`, as with pykka.
            ForkedError: the future was made before a fork.
        """
        if not self._resolve(VALUE, value):
            self._refuse()

    def try_set(self, value: T | None = None) -> bool:
        """Give the value unless there is a result already; whether it was taken."""
        return self._resolve(VALUE, value)

    def set_exception(self, exc_info: BaseException | ExcInfo | None = None) -> None:
        """Fail with an exception, an `exc_info` triple, or the exception that is being handled; see `set`."""
        if not self._fail(*as_error(exc_info)):
            self._refuse()

    def try_set_exception(self, error: BaseException) -> bool:
        """Fail unless there is a result already; whether it was taken."""
        return self._fail(error, error.__traceback__)

    def set_get_hook(self, func: GetHook) -> None:
        """Compute the value with `func(timeout)` when it is asked for, as in pykka; see `set`."""
        self._attach(Hook(func, None))

    def on_cancel(self, fn: Callable[[], object]) -> None:
        """Call `fn` if somebody cancels this, on their thread; at once if somebody has."""

        def tell(future: Future[T]) -> None:
            if future._state == CANCELLED:
                fn()

        self._add_waiter(tell)

    def quiet(self) -> Self:
        """Don't log a failure that nobody reads: for results that most callers ignore."""
        self._quiet = True
        if self._state == FAILED:
            self._result.read = True
        return self

    # -- anybody's side -------------------------------------------------------------------------------------

    def done(self) -> bool:
        """Whether asking for the outcome won't wait."""
        state = self._state
        return state >= 0 and (state != HOOKED or self._result.ready())

    def cancelled(self) -> bool:
        """Whether this was cancelled."""
        return self._state == CANCELLED if self._state != HOOKED else self._result.cancelled()

    def cancel(self) -> bool:
        """Give up the result: waiters get `FutureCancelledError`, the producer is told; False if done."""
        hook = self._hook
        return self._resolve(CANCELLED, None) if hook is None else hook.cancel()

    def exception(self) -> BaseException | None:
        """Give what `get` would raise, None if it would not.

        Raises:
            FutureStateError: there is no result yet.
        """
        if self._state == VALUE:
            return None
        if not self.done():
            raise FutureStateError("this future has no result yet")
        hook = self._hook
        try:
            return self._failure() if hook is None else hook.failure()
        finally:
            del self  # see _outcome

    def add_done_callback(self, fn: Callable[[Self], object]) -> None:
        """Call `fn(self)` once done, on the thread that resolves this; at once if it is done."""
        if self._state != HOOKED:
            self._add_waiter(fn)
        else:
            self._result.when_ready(lambda: self._call(fn))

    # pykka takes the time-out by keyword only; so does this, and by position too
    def get(self, timeout: float | None = None) -> T:  # pyright: ignore[reportIncompatibleMethodOverride] -- see above
        """Wait for the value.

        Args:
            timeout: seconds to wait at most; None = for ever.

        Raises:
            FutureTimeout: time ran out; it is an `agentbus.FutureTimeoutError` and a `pykka.Timeout`.
            BlockingCallError: there is no value yet, and this thread runs a loop of the runtime.
            FutureCancelledError: somebody cancelled this.
            Exception: what the work failed with.
        """
        if self._state < 0:
            self._wait(timeout)
        if self._state == VALUE:
            return cast("T", self._result)
        try:
            return self._outcome(timeout)
        finally:
            del self  # see _outcome

    def __await__(self) -> Generator[Any, None, T]:
        if self._state < 0:
            yield from self._wait_async()
        if self._state == VALUE:
            value: T = self._result
            return value
        hook = self._hook
        if hook is not None:
            return (yield from self._compute_async(hook))
        try:
            return self._outcome(None)
        finally:
            del self  # see _outcome

    __iter__ = __await__

    @property
    def _hook(self) -> Hook | None:
        return cast("Hook", self._result) if self._state == HOOKED else None

    # -- resolving ------------------------------------------------------------------------------------------

    def _fail(self, error: BaseException, traceback: TracebackType | None) -> bool:
        self._refuse_stale()
        failure = Failure(error, traceback, read=self._quiet)
        taken = self._resolve(FAILED, failure)
        if not taken:
            failure.read = True
        return taken

    def _attach(self, hook: Hook) -> None:
        if not self._resolve(HOOKED, hook):
            self._refuse()

    def _view(self, compute: GetHook, others: tuple[pykka.Future[Any], ...] = ()) -> Future[Any]:
        ours = tuple(each for each in (self, *others) if isinstance(each, Future))
        view: Future[Any] = type(self)()
        view._attach(Hook(compute, ours if len(ours) == 1 + len(others) else None))
        return view

    def _refuse(self) -> None:
        if self._state != CANCELLED:
            raise FutureStateError("this future has its result already")

    # -- waiting --------------------------------------------------------------------------------------------

    def _wait_begins(self, woken: asyncio.Future[None] | None) -> None:
        """Hear of a wait for this, where it is: what a loop's task waits for, or None on a thread."""

    def _wait_ends(self) -> None:
        """Hear of the end of a wait."""

    def _wait(self, timeout: float | None) -> None:
        blocking.check("Future.get()")
        waiter = ThreadWaiter()
        self._add_waiter(waiter)
        woken = False
        try:
            self._wait_begins(None)
            woken = waiter.wait(timeout)
        finally:
            self._wait_ends()
            if not woken:
                self._remove_waiter(waiter)
        if self._state < 0:
            raise FutureTimeout(f"no result within {timeout} s; the work goes on")

    def _wait_async(self) -> Generator[Any, None, None]:
        burst = burst_here()
        if burst is None:  # a foreign kind of loop: as pykka does
            yield
            self._wait(None)
            return
        waiter = LoopWaiter(burst)
        self._add_waiter(waiter)
        try:
            self._wait_begins(waiter.woken)
            yield from waiter.woken
        except asyncio.CancelledError:
            if self._cancellable_by_waiter:
                self.cancel()
            raise
        finally:
            self._wait_ends()
            if self._state < 0:
                self._remove_waiter(waiter)

    def _compute_async(self, hook: Hook) -> Generator[Any, None, T]:
        """Give the value without holding up the loop that runs here."""
        if hook.sources is None and not hook.ready():
            return cast("T", (yield from hook.evaluate_elsewhere().__await__()))
        for source in hook.sources or ():
            if not source.done():
                yield from source._settle_async()
        return self._outcome(None)

    def _settle_async(self) -> Generator[Any, None, None]:
        """Wait for the end, whatever it is."""
        if self._state < 0:
            yield from self._wait_async()
        for source in (self._hook.sources or ()) if self._hook is not None else ():
            yield from source._settle_async()

    def _outcome(self, timeout: float | None) -> T:
        hook = self._hook
        if hook is not None:
            return cast("T", hook.evaluate(timeout))
        failure = self._failure()
        if failure is None:
            return cast("T", self._result)
        try:
            raise failure
        finally:
            del self, failure  # the traceback holds this frame: a cycle would keep all it knows alive

    def _failure(self) -> BaseException | None:
        if self._state == VALUE:
            return None
        if self._state == CANCELLED:
            return FutureCancelledError("the result was cancelled before it came")
        return cast("Failure", self._result).as_new()
