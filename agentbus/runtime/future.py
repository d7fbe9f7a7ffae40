"""One handle for both worlds: `.get(timeout)` from a thread, `await` from any event loop.

A future holds no lock. Its list of waiters starts with one token; who removes the token resolves the future,
and `list.remove`, `append` and `pop` are atomic on every build of Python:

    resolver                                   waiter
    remove the token, or lose                  look at the state; done: nothing to wait for
    store the result, then the state           append a wake-up
    pop and call what waits, until empty       look at the state again; done: pop and call what waits

Whichever comes second sees what the other did, so that nobody waits for ever and each wake-up is called once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import pykka

from agentbus.errors import FutureCancelledError
from agentbus.runtime import blocking, forks
from agentbus.runtime.faults import FutureStateError, FutureTimeout
from agentbus.runtime.hook import GetHook, Hook
from agentbus.runtime.views import Viewable
from agentbus.runtime.waiting import LoopWaiter, ThreadWaiter

T = TypeVar("T")
M = TypeVar("M")

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]

_log = logging.getLogger("agentbus.runtime")

# what `_state` holds; a pending future's number is negative and names the process generation that made it
_VALUE: Final = 0
_ERROR: Final = 1
_CANCELLED: Final = 2
_HOOKED: Final = 3
_pending: int = -1 - forks.generation

_NAMES = {_VALUE: "done", _ERROR: "failed", _CANCELLED: "cancelled", _HOOKED: "computed on demand"}
_TOKEN: Final = object()


def _enter_child() -> None:
    global _pending  # noqa: PLW0603 -- what pending futures of this process have in common
    _pending = -1 - forks.generation


forks.in_child(_enter_child)


class _Failure:
    """What a future failed with; says so in the log if nobody ever looked."""

    __slots__ = ("error", "read", "traceback")

    def __init__(self, error: BaseException, traceback: TracebackType | None, *, read: bool) -> None:
        self.error = error
        self.traceback = traceback
        self.read = read

    def __del__(self) -> None:
        if not self.read:
            exc_info = (type(self.error), self.error, self.traceback)
            _log.error("a Future failed and nobody looked at it", exc_info=exc_info)

    def as_new(self) -> BaseException:
        """Give the error with the traceback of its origin, however often it was raised since."""
        self.read = True
        return self.error.with_traceback(self.traceback)


class Future(Viewable[T]):
    """A result that is there now or later.

    Args:
        cancellable_by_waiter: whether cancelling a task that awaits this cancels this too. True where nobody
            else can want the result, such as an ask; False where the work goes on, such as a publish.
    """

    _result: Any = None
    _cancellable_by_waiter = False
    _quiet = False

    def __init__(self, *, cancellable_by_waiter: bool = False) -> None:
        self._state: int = _pending
        self._waiters: list[Any] = [_TOKEN]
        if cancellable_by_waiter:
            self._cancellable_by_waiter = True

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
        return f"<agentbus.Future {_NAMES.get(self._state, 'pending')}>"

    # -- the producer's side --------------------------------------------------------------------------------

    def set(self, value: T | None = None) -> None:
        """Give the value; a cancelled future takes it in silence.

        Raises:
            FutureStateError: there is a result already. It is also a `queue.Full`, as with pykka.
            ForkedError: the future was made before a fork.
        """
        if not self._resolve(_VALUE, value):
            self._refuse()

    def try_set(self, value: T | None = None) -> bool:
        """Give the value unless there is a result already; whether it was taken."""
        return self._resolve(_VALUE, value)

    def set_exception(self, exc_info: BaseException | ExcInfo | None = None) -> None:
        """Fail with an exception, an `exc_info` triple, or the exception that is being handled; see `set`."""
        if not self._fail(*_as_error(exc_info)):
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
            if future._state == _CANCELLED:
                fn()

        self._add_waiter(tell)

    def quiet(self) -> Self:
        """Don't log a failure that nobody reads: for results that most callers ignore."""
        self._quiet = True
        if self._state == _ERROR:
            self._result.read = True
        return self

    # -- anybody's side -------------------------------------------------------------------------------------

    def done(self) -> bool:
        """Whether asking for the outcome won't wait."""
        hook = self._hook
        return self._state >= 0 if hook is None else hook.ready()

    def cancelled(self) -> bool:
        """Whether this was cancelled."""
        hook = self._hook
        return self._state == _CANCELLED if hook is None else hook.cancelled()

    def cancel(self) -> bool:
        """Give up the result: waiters get `FutureCancelledError`, the producer is told; False if done."""
        hook = self._hook
        return self._resolve(_CANCELLED, None) if hook is None else hook.cancel()

    def exception(self) -> BaseException | None:
        """Give what `get` would raise, None if it would not.

        Raises:
            FutureStateError: there is no result yet.
        """
        if not self.done():
            raise FutureStateError("this future has no result yet")
        hook = self._hook
        try:
            return self._failure() if hook is None else hook.failure()
        finally:
            del self  # see _outcome

    def add_done_callback(self, fn: Callable[[Self], object]) -> None:
        """Call `fn(self)` once done, on the thread that resolves this; at once if it is done."""
        hook = self._hook
        if hook is None:
            self._add_waiter(fn)
        else:
            hook.when_ready(lambda: self._call(fn))

    # pykka takes the time-out by keyword only; so does this, and by position too
    def get(self, timeout: float | None = None) -> T:  # pyright: ignore[reportIncompatibleMethodOverride]
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
        if self._state == _VALUE:
            return cast("T", self._result)
        try:
            return self._outcome(timeout)
        finally:
            del self  # see _outcome

    def __await__(self) -> Generator[Any, None, T]:
        if self._state < 0:
            yield from self._wait_async()
        if self._state == _VALUE:
            return cast("T", self._result)
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
        return cast("Hook", self._result) if self._state == _HOOKED else None

    # -- resolving ------------------------------------------------------------------------------------------

    def _resolve(self, state: int, result: Any) -> bool:
        if self._state != _pending:
            self._refuse_stale()
            return False
        waiters = self._waiters
        try:
            waiters.remove(_TOKEN)
        except ValueError:
            return False  # somebody else is about to
        self._result = result
        self._state = state
        if waiters:
            self._wake(waiters)
        return True

    def _fail(self, error: BaseException, traceback: TracebackType | None) -> bool:
        failure = _Failure(error, traceback, read=self._quiet)
        taken = self._resolve(_ERROR, failure)
        if not taken:
            failure.read = True
        return taken

    def _attach(self, hook: Hook) -> None:
        if not self._resolve(_HOOKED, hook):
            self._refuse()

    def _view(self, compute: GetHook, others: tuple[pykka.Future[Any], ...] = ()) -> Future[Any]:
        ours = tuple(each for each in (self, *others) if isinstance(each, Future))
        view: Future[Any] = type(self)()
        view._attach(Hook(compute, ours if len(ours) == 1 + len(others) else None))
        return view

    def _refuse(self) -> None:
        if self._state != _CANCELLED:
            raise FutureStateError("this future has its result already")

    def _refuse_stale(self) -> None:
        if self._state < 0 and self._state != _pending:
            raise forks.forked_error(self)

    # -- waiting --------------------------------------------------------------------------------------------

    def _add_waiter(self, wake: Callable[[Self], object]) -> None:
        self._refuse_stale()
        waiters = self._waiters
        waiters.append(wake)
        if self._state >= 0:
            self._wake(waiters)

    def _remove_waiter(self, wake: object) -> None:
        try:
            self._waiters.remove(wake)
        except ValueError:
            return  # it is being called

    def _wake(self, waiters: list[Any]) -> None:
        while waiters:
            try:
                wake = waiters.pop(0)
            except IndexError:
                return
            self._call(wake)

    def _call(self, fn: Callable[[Self], object]) -> None:
        try:
            fn(self)
        except KeyboardInterrupt:
            self._wake(self._waiters)
            raise
        except BaseException:  # noqa: BLE001 -- a stranger's failure, SystemExit included, harms nobody else
            _log.exception("a callback of a Future failed: %r", fn)

    def _wait(self, timeout: float | None) -> None:
        blocking.check("Future.get()")
        waiter = ThreadWaiter()
        self._add_waiter(waiter)
        woken = False
        try:
            woken = waiter.wait(timeout)
        finally:
            if not woken:
                self._remove_waiter(waiter)
        if self._state < 0:
            raise FutureTimeout(f"no result within {timeout} s; the work goes on")

    def _wait_async(self) -> Generator[Any, None, None]:
        loop = blocking.running_loop()
        if loop is None:  # a foreign kind of loop: as pykka does
            yield
            self._wait(None)
            return
        waiter = LoopWaiter(loop)
        self._add_waiter(waiter)
        try:
            yield from waiter.woken
        except asyncio.CancelledError:
            if self._cancellable_by_waiter:
                self.cancel()
            raise
        finally:
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
        if self._state == _VALUE:
            return None
        if self._state == _CANCELLED:
            return FutureCancelledError("the result was cancelled before it came")
        return cast("_Failure", self._result).as_new()


def _as_error(given: BaseException | ExcInfo | None) -> tuple[BaseException, TracebackType | None]:
    if isinstance(given, BaseException):
        return given, given.__traceback__
    kind, error, traceback = sys.exc_info() if given is None else given
    if error is None:
        if kind is None:
            raise TypeError("set_exception() needs an exception, or one that is being handled")
        error = kind()
    return error, traceback
