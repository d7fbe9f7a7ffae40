"""A worker that the tests run in processes of its own."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from agentbus.agents import AgentActor, Message, Request, handles
from agentbus.errors import Reject

NEVER = threading.Event()


class WhoAmI(Request[int], wire_name="process_workers.WhoAmI"):
    """Give the process id."""


class Endless(Message, wire_name="process_workers.Endless"):
    """Never end, whoever wants it; say so first."""


class Suicide(Message, wire_name="process_workers.Suicide"):
    """Die by a signal."""


class Careful(Request[int], wire_name="process_workers.Careful"):
    """Do one step once, and mark progress."""


class Wrong(Message, wire_name="process_workers.Wrong"):
    """Raise."""

    reject: bool = False


class ProcessWorker(AgentActor):
    @handles
    def who(self, _message: WhoAmI) -> int:
        return os.getpid()

    @handles
    def endless(self, _message: Endless) -> None:
        self.progress("begun")
        NEVER.wait()

    @handles
    def suicide(self, _message: Suicide) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @handles
    def careful(self, _message: Careful) -> Any:
        self.progress("half", done=0.5)
        return self.once("step", lambda: 7) + self.job.attempt

    @handles
    def wrong(self, message: Wrong) -> None:
        if message.reject:
            raise Reject("never")
        raise ValueError("wrong")


class Hang(Message, wire_name="process_workers.Hang"):
    """Write the process id into a pipe, then work until that is not wanted any more."""

    pipe: str


class Grow(Request[int], wire_name="process_workers.Grow"):
    """Hold so many bytes from now on."""

    size: int


class Work(Request[int], wire_name="process_workers.Work"):
    """Work so long, then note job and process in a file; a handler that is cancelled notes nothing."""

    seconds: float
    path: str


class CommandWorker(AgentActor):
    """For the command: works in the process itself."""

    @handles
    def who(self, _message: WhoAmI) -> int:
        return os.getpid()

    @handles
    def grow(self, message: Grow) -> int:
        self.ballast = b"x" * message.size
        return os.getpid()

    @handles
    def hang(self, message: Hang) -> None:
        Path(message.pipe).write_text(f"{os.getpid()}\n")
        while not self.cancelled:
            NEVER.wait(0.02)

    @handles
    def work(self, message: Work) -> int:
        end = time.monotonic() + message.seconds
        while time.monotonic() < end:
            NEVER.wait(0.02)
            self.checkpoint()
        with Path(message.path).open("a") as file:
            file.write(f"{self.job.id} {os.getpid()}\n")
        return os.getpid()
