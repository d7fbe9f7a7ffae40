"""One child process, from its launch to its exit, as the parent sees it. On the agents' loop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import msgspec

from agentbus.agents.processes.channel import Channel
from agentbus.agents.processes.frames import (
    Answered,
    Begin,
    Cancel,
    Ended,
    Failed,
    Flow,
    Handle,
    Invite,
    Invited,
    JobOver,
    JobProgress,
    KeepEffect,
    Marked,
    Progress,
    Ready,
    Steer,
    Stop,
    ToChild,
    ToParent,
    decode_for_parent,
)
from agentbus.errors import AgentError, ProcessExitedError
from agentbus.runtime import Future
from agentbus.runtime.faults import RelayedFailure

PROGRAM = "agentbus.agents.processes.program"
STOP_GRACE = 3.0
"""Seconds that a process gets to end when it is asked to; then it is killed. A closing bus waits longer."""


class Owner(msgspec.Struct, frozen=True):
    """Who is told what a child says by itself; on the agents' loop.

    Attributes:
        marked: the handling of a message, by its number, goes on.
        progress: the agent says how far it is.
        flow: something beside a message has come.
        invite: it needs the bus; what comes back is sent to it.
        gone: the process has ended: the failure, or None if the agent stopped by itself.
        said_of_job: the handler of a job goes on, or wants an effect recorded.
    """

    marked: Callable[[int], object]
    progress: Callable[[Progress], object]
    flow: Callable[[Flow], object]
    invite: Callable[[], Future[Invited]]
    gone: Callable[[AgentError | None], object]
    said_of_job: Callable[[JobProgress | KeepEffect], object]


class Child:
    """A process with one agent in it.

    Args:
        channel: to the process.
        process: to be waited for by somebody else.
        exited: done with its exit code.
        owner: see `Owner`.

    Attributes:
        ready: done when the agent has started; fails if it never does.
        process_id: of the operating system.
    """

    def __init__(
        self,
        channel: Channel[ToParent],
        process: subprocess.Popen[bytes],
        exited: Future[int],
        owner: Owner,
    ) -> None:
        self._channel = channel
        self._process = process
        self._exited = exited
        self._owner = owner
        self._numbers = 0
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._failure: AgentError | None = None
        self._ended = False
        self._stopping = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.process_id = process.pid

    @classmethod
    async def launch(cls, begin: Begin, owner: Owner) -> Child:
        """Start a process, and tell it what to host.

        Raises:
            OSError: it can't be started.
        """
        mine, its = socket.socketpair()
        mine.settimeout(0.0)
        started: Future[subprocess.Popen[bytes]] = Future()
        exited: Future[int] = Future[int]().quiet()
        name = f"agentbus-child {begin.name}"
        threading.Thread(target=_attend, args=(its, started, exited), name=name, daemon=True).start()
        try:
            process = await started
        except BaseException:
            mine.close()  # a process that comes to be all the same finds nobody, and ends
            raise
        channel: Channel[ToParent] = await Channel[ToParent].over(mine, decode_for_parent)
        channel.post(begin)
        return cls(channel, process, exited, owner)

    # -- messages --------------------------------------------------------------------------------------------

    def number(self) -> int:
        """Give the number of the next message."""
        self._numbers += 1
        return self._numbers

    async def handle(self, message: Handle | Steer) -> Answered:
        """Hand a message over, or advice, and wait for what becomes of it; who stops waiting cancels it.

        Raises:
            AgentError: the agent failed with it, or the process is gone.
        """
        answered: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        self._pending[message.number] = answered
        try:
            await self._send(message)
            return await answered
        except asyncio.CancelledError:
            self._channel.post(Cancel(message.number))
            raise
        finally:
            self._pending.pop(message.number, None)

    async def handle_job(self, message: Handle) -> JobOver:
        """Hand a job over, and wait for the end of its handler; who stops waiting cancels it, and waits on.

        Raises:
            AgentError: the process is gone.
        """
        over: asyncio.Future[JobOver] = asyncio.get_running_loop().create_future()
        self._pending[message.number] = over
        try:
            await self._send(message)
            while not over.done():
                try:
                    await asyncio.wait({over})
                except asyncio.CancelledError:
                    self._channel.post(Cancel(message.number))
            return over.result()
        finally:
            self._pending.pop(message.number, None)

    def post(self, frame: ToChild) -> None:
        """Say something, without waiting."""
        self._channel.post(frame)

    async def _send(self, frame: ToChild) -> None:
        try:
            await self._channel.send(frame)
        except ConnectionError:
            return  # the process is going, which whoever waits will hear

    # -- what it says ----------------------------------------------------------------------------------------

    async def follow(self) -> int:
        """Listen until the process is gone, tell everyone who waits, and give the exit code."""
        async for frame in self._channel.frames():
            self._take(frame)
        if not self._exited.done():
            await asyncio.wait({asyncio.ensure_future(_settled(self._exited))}, timeout=1.0)
        self._end()
        exit_code = await self._exited
        self._gone(exit_code)
        return exit_code

    def _take(self, frame: ToParent) -> None:
        match frame:
            case Answered():
                self._answered(frame)
            case Flow():
                self._owner.flow(frame)
            case JobOver() | JobProgress() | KeepEffect():
                self._said_of_job(frame)
            case Marked():
                self._owner.marked(frame.number)
            case Progress():
                self._owner.progress(frame)
            case Ready():
                _resolve(self.ready, None)
            case Failed():
                self._failure = _relayed(frame)
            case Invite():
                self._owner.invite().add_done_callback(self._invited)
            case Ended():
                self._ended = True

    def _answered(self, frame: Answered) -> None:
        waiting = self._pending.pop(frame.number, None)
        if waiting is None:
            return
        if frame.failed and self._failure is not None:
            _reject(waiting, self._failure)
        else:
            _resolve(waiting, frame)

    def _said_of_job(self, frame: JobOver | JobProgress | KeepEffect) -> None:
        if not isinstance(frame, JobOver):
            self._owner.said_of_job(frame)
            return
        waiting = self._pending.pop(frame.number, None)
        if waiting is not None:
            _resolve(waiting, frame)

    def _invited(self, future: Future[Invited]) -> None:
        error = future.exception()
        answer = Invited(problem=str(error)) if error is not None else future.get()
        self._loop_of_ready.call_soon_threadsafe(self._channel.post, answer)

    @property
    def _loop_of_ready(self) -> asyncio.AbstractEventLoop:
        return self.ready.get_loop()

    def _gone(self, exit_code: int) -> None:
        self._channel.close()
        error = self._failure or ProcessExitedError(exit_code)
        everyone: list[asyncio.Future[Any]] = [self.ready, *self._pending.values()]
        waiting = [each for each in everyone if not each.done()]
        for each in waiting:
            _reject(each, error)
        if not waiting and not self._stopping:
            self._owner.gone(None if self._ended and exit_code == 0 else error)

    # -- the end ---------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Ask the agent to end, wait for that, and kill the process if it does not come."""
        self._stopping = True
        self._channel.post(Stop())
        await asyncio.wait({asyncio.ensure_future(_settled(self._exited))}, timeout=STOP_GRACE)
        self.kill()
        await self._exited

    def kill(self) -> None:
        """End the process, whatever it does; nobody hears of it by `Owner.gone`."""
        self._stopping = True
        self._end()

    def _end(self) -> None:
        if not self._exited.done():
            self._process.send_signal(signal.SIGKILL)
        self._channel.close()


async def _settled(exited: Future[int]) -> None:
    await exited


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _reject(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # it may be that nobody waits: no complaint then


def _relayed(frame: Failed) -> AgentError:
    relayed = RelayedFailure(frame.error_type, frame.error_message)
    relayed.add_note(f"in the agent's process:\n{frame.traceback}")
    return relayed


def _attend(its: socket.socket, started: Future[subprocess.Popen[bytes]], exited: Future[int]) -> None:
    """Start the process and wait for its end; on a thread of its own, as both may block.

    To Linux this thread is the process's parent: with its end that of the process comes.
    """
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-m", PROGRAM, str(os.getpid())]
    with its:
        try:
            process = subprocess.Popen(  # noqa: S603 -- our own code
                command,
                stdin=its.fileno(),
                env=variables,
                process_group=0,  # a Ctrl-C is the parent's, also while this one is importing
            )
        except OSError as error:
            started.set_exception(error)
            return
    started.set(process)
    exited.set(process.wait())
