"""What the actors of a process share: two loops, a clock, chance, names, callbacks, and an end."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any, TypeVar

import pykka

from agentbus.runtime import blocking, forks
from agentbus.runtime.callbacks import Callbacks
from agentbus.runtime.clock import Clock, SystemClock
from agentbus.runtime.dead_letters import DeadLetters
from agentbus.runtime.future import Future
from agentbus.runtime.loop import HostedLoop, Loop
from agentbus.runtime.loop_thread import LoopThread
from agentbus.runtime.registry import ActorRegistry
from agentbus.runtime.streams import Subscription
from agentbus.runtime.watchdog import Watchdog

T = TypeVar("T")

EXIT_TIMEOUT = 2.0
"""Seconds that all runtimes together get to end in when the interpreter exits."""

CLOSE_GRACE = 1.0
"""Seconds that the threads get to end in after everything on them has."""

_log = logging.getLogger("agentbus.runtime")
_system = SystemClock()

Closer = Callable[[], pykka.Future[Any] | None]


class Runtime(forks.ProcessBound):
    """Loops, clock, chance, names, callbacks, and the actors that use them.

    Args:
        loop: host everything on this one loop of the caller's; by default there are two daemon threads, one
            for sockets and one for async agents, each started when it is first needed.
        random: the only source of chance; injected, it also makes the ids, the same ones every time.
        new_id: makes ids; overrides those of `random`.
        callback_threads: how many sync callbacks run at a time.
        inline_callbacks: run sync callbacks on the loop: for simulations, where there are no threads.
        block_threshold: report handlers that block the agents' loop for more seconds; None = don't watch.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop | Loop | None = None,
        random: Random | None = None,
        new_id: Callable[[], str] | None = None,
        callback_threads: int = 8,
        inline_callbacks: bool = False,
        block_threshold: float | None = None,
    ) -> None:
        super().__init__()
        self.random = random or Random()
        self.new_id = new_id or _id_maker(random)
        self.io, self.agents = _loops(loop, block_threshold)
        self.clock: Clock = self.io.clock
        self.registry = ActorRegistry(self.new_id())
        self.callbacks = Callbacks(self.agents, threads=callback_threads, inline=inline_callbacks)
        self.dead_letters = DeadLetters(self.callbacks)
        self._closers: dict[object, Closer] = {}
        self._closed = False
        _live.add(self)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def on_close(self, closer: Closer) -> Subscription:
        """Call `closer()` when this runtime ends, the youngest first, and wait for the future it gives."""
        self.check_fork()
        key = object()
        self._closers[key] = closer
        return Subscription(lambda: self._closers.pop(key, None))

    def close(self, timeout: float = 5.0) -> bool:
        """End everything: what was registered with `on_close`, then the actors, callbacks, and loops of ours.

        Args:
            timeout: seconds to wait for all of that.

        Returns:
            Whether all ended in time. A hosted loop that does not run can't end anything: False.

        Raises:
            BlockingCallError: this thread runs a loop of the runtime: `await runtime.aclose()` there.
        """
        self.check_fork()
        blocking.check("Runtime.close()")
        deadline = _system.monotonic() + timeout
        in_time = True
        for future in self._endings():
            in_time = in_time and self._can_wait() and _ends(future, deadline)
        return self._end_threads(deadline) and in_time

    async def aclose(self, timeout: float = 5.0) -> bool:  # noqa: ASYNC109 -- as close() has it
        """Do as `close`, from a coroutine on any loop."""
        self.check_fork()
        try:
            async with asyncio.timeout(timeout):
                for future in self._endings():
                    await _ended(future, timeout)
        except TimeoutError:
            return False
        finally:
            await self._end_threads_from_loop()
        return True

    async def _end_threads_from_loop(self) -> None:
        deadline = _system.monotonic() + CLOSE_GRACE
        if self.io.is_current() or self.agents.is_current():
            self._end_threads(deadline)  # one is this thread, which nobody can wait for here
        else:
            await asyncio.get_running_loop().run_in_executor(None, self._end_threads, deadline)

    def _endings(self) -> Iterator[pykka.Future[Any]]:
        """Ask for the ends, stage by stage; a stage begins when the futures of the last were waited for."""
        if self._closed:
            return
        self._closed = True
        closers = [self._closers.pop(key) for key in reversed(list(self._closers))]
        yield from [future for future in map(_call, closers) if future is not None]
        yield from self.registry.stop_all(block=False)
        yield from self.callbacks.drain()

    def _can_wait(self) -> bool:
        return isinstance(self.io, LoopThread) or self.io.asyncio_loop.is_running()

    def _end_threads(self, deadline: float) -> bool:
        self.callbacks.close()
        threads = [loop for loop in (self.agents, self.io) if isinstance(loop, LoopThread)]
        ended = [thread.close(max(0.1, deadline - _system.monotonic())) for thread in threads]
        if threads:  # a hosted loop goes on, and its actors may yet end
            self.registry.abandon()
        return all(ended)


def default_runtime() -> Runtime:
    """Give the process's own runtime, made when first needed; after a fork, or once closed, a new one."""
    global _default  # noqa: PLW0603 -- the one instance per process
    runtime = _default
    if runtime is not None and not runtime.closed:
        return runtime
    with _making_default:
        if _default is None or _default.closed:
            _default = Runtime()
        return _default


_live: weakref.WeakSet[Runtime] = weakref.WeakSet()
_default: Runtime | None = None
_making_default = threading.Lock()


def _enter_child() -> None:
    global _default, _making_default  # noqa: PLW0603 -- the parent's are no use here
    _default = None
    _making_default = threading.Lock()
    for inherited in list(_live):
        forks.keep(inherited)
    _live.clear()


def _end_at_exit() -> None:
    deadline = _system.monotonic() + EXIT_TIMEOUT
    for runtime in list(_live):
        if not runtime.closed:
            _call(partial(runtime.close, max(0.0, deadline - _system.monotonic())))


forks.in_child(_enter_child)
atexit.register(_end_at_exit)


def _loops(loop: asyncio.AbstractEventLoop | Loop | None, block_threshold: float | None) -> tuple[Loop, Loop]:
    if loop is None:
        watchdog = None if block_threshold is None else Watchdog(block_threshold)
        return LoopThread("agentbus-io"), LoopThread("agentbus-agents", watchdog=watchdog)
    hosted = loop if isinstance(loop, Loop) else HostedLoop(loop)
    return hosted, hosted


def _id_maker(random: Random | None) -> Callable[[], str]:
    if random is None:
        return lambda: uuid.uuid4().hex
    return lambda: f"{random.getrandbits(128):032x}"


def _call(fn: Callable[[], T]) -> T | None:
    try:
        return fn()
    except Exception:  # noqa: BLE001 -- the others are to end all the same
        _log.exception("something could not be ended")
        return None


def _ends(future: pykka.Future[Any], deadline: float) -> bool:
    try:
        future.get(timeout=max(0.0, deadline - _system.monotonic()))
    except (pykka.Timeout, TimeoutError):
        return False
    except Exception:  # noqa: BLE001 -- it has ended, which is all that was asked for
        return True
    return True


async def _ended(future: pykka.Future[Any], timeout: float) -> None:  # noqa: ASYNC109 -- for what can't be awaited
    with contextlib.suppress(Exception):
        if isinstance(future, Future):
            await future
        else:
            await asyncio.get_running_loop().run_in_executor(None, partial(future.get, timeout=timeout))
