"""The life of an actor on a loop, from its start to its last act.

    STARTING ── on_start ──► RUNNING ── stop, in mailbox order or at once ──► STOPPING ── handlers end ──┐
       │ on_start raised        │ a told message's handler raised                                        │
       └────────────────────────┴──────────────────► ENDING ◄────────────────────────────────────────────┘
                                                       │ on_stop or on_failure has run, tasks have given in
                                                       ▼
                                                     ENDED: leftovers to the dead letters, then on_exit(Down)

Messages are handled while it runs, in the turns of `agentbus.runtime.turns`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from pykka import messages

from agentbus.runtime.dispatch import receives
from agentbus.runtime.down import Down, DownReason
from agentbus.runtime.envelope import Stop
from agentbus.runtime.leftovers import bury
from agentbus.runtime.turns import Phase, TurningActor

_log = logging.getLogger("agentbus.runtime")


class LivingActor(TurningActor):
    """The middle of `LoopActor`: which phase follows which, and what is done between them."""

    # -- from phase to phase --------------------------------------------------------------------------------

    def _start_actor_loop(self) -> None:
        self.loop.call_soon(self._boot)

    def _boot(self) -> None:
        self._phase = Phase.STARTING
        self._run(self.on_start, self._started)
        if self._phase is Phase.STARTING:  # it awaits: serve the control lane, but let it begin first
            self.loop.asyncio_loop.call_soon(self._wake)

    def _started(self, _value: Any, error: BaseException | None) -> None:
        if self._phase is Phase.STOPPING:  # stopped at once while `on_start` was awaiting
            self._finish(DownReason.STOPPED, None, None if error else self.on_stop)
        elif self._phase is Phase.ENDING:  # failed meanwhile
            return
        elif error is not None:
            self._log_failure(error)
            self._finish(DownReason.START_FAILED, error, None)
        else:
            self._phase = Phase.RUNNING
            self._free = self._options.concurrency
            self._turn()

    @receives(messages._ActorStop)  # pyright: ignore[reportPrivateUsage]  # what pykka itself would send
    def _stop_in_order(self, stop: Any) -> None:
        self._stop_for(stop)
        self._stop_if_idle()

    def _stop_for(self, stop: Any) -> None:
        if isinstance(stop, Stop):
            self._watchers += (stop,)
        self._free = 0
        self._phase = Phase.STOPPING

    def _stop_if_idle(self) -> None:
        if not self._busy:
            self._finish(DownReason.STOPPED, None, self.on_stop)

    def _stop_now(self, stop: Stop) -> None:
        if self._phase is Phase.ENDING:
            self._watchers += (stop,)
            self._cancel_own()
            return
        starting = self._phase is Phase.STARTING
        self._stop_for(stop)
        self._cancel_own()
        if not starting:
            self._stop_if_idle()

    def _fail(self, error: BaseException) -> None:
        self._log_failure(error)
        if self._phase not in (Phase.ENDING, Phase.ENDED):
            hook = partial(self.on_failure, type(error), error, error.__traceback__)
            self._finish(DownReason.FAILED, error, hook)

    def _log_failure(self, error: BaseException) -> None:
        _log.error("unhandled exception in %s", self, exc_info=error)

    def _finish(
        self, reason: DownReason, error: BaseException | None, hook: Callable[[], Any] | None
    ) -> None:
        """Take nothing more, cancel what runs, call the last hook."""
        self._free = 0
        self._phase = Phase.ENDING
        self._end = (reason, error)
        self._mailbox.refuse(partial(self._gone, self._address, error))
        self._cancel_own()
        if hook is None:
            self._hook_ended(None, None)
        else:
            self._run(hook, self._hook_ended)

    def _cancel_own(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel()
        if self._timers is not None:
            self._timers.cancel()

    def _hook_ended(self, _value: Any, error: BaseException | None) -> None:
        if error is not None and not isinstance(error, asyncio.CancelledError):
            self._log_failure(error)
            self._end = (self._end[0], self._end[1] or error)
        if self._tasks is None:
            self._die()
        else:
            self._tasks.when_empty(self._die)

    def _die(self) -> None:
        self._phase = Phase.ENDED
        self._cancel_own()
        self._leave()
        if self._options.on_exit is not None:
            self._tell_exit(self._options.on_exit)
        self._tell_watchers()

    def _tell_watchers(self) -> None:
        watchers, self._watchers = self._watchers, ()
        for watcher in watchers:
            self._bury(watcher)

    def _leave(self) -> None:
        """Hand over what is left, and be forgotten."""
        address = self._address
        gone = partial(self._gone, address, self._end[1])  # not `self`: a kept ref must not keep the actor
        self._mailbox.refuse(gone)
        self._mailbox.bury(partial(bury, self.runtime.dead_letters, address, gone))
        self.runtime.registry.unregister(self._ref)

    def _tell_exit(self, on_exit: Callable[[Down], object]) -> None:
        try:
            on_exit(Down(self._ref, *self._end))
        except Exception:  # noqa: BLE001 -- the actor is over; its observer's failure is no reason to stay
            _log.exception("on_exit of %s failed", self)

    def abandon(self) -> None:
        """End without another turn: the loop is closed. No hook runs, and `on_exit` is not called."""
        self._phase = Phase.ENDED
        self._leave()
        self._tell_watchers()
