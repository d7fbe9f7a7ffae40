"""What every queue is given to do, and the ledger of what became of it; imports nothing but Python, for it runs in each library's own environment.

The ledger is a file that the producer and the workers map. Each job has a number and its place there: the time of its put and of its start
in seconds of the system's monotonic clock, and how often it ran.
"""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import struct
import time
from array import array
from collections.abc import Awaitable, Callable
from pathlib import Path

ENTRY = 17
TEXT = "x" * 100
"""Goes with each job's number."""

Put = Callable[[int], Awaitable[object]]


class Ledger:
    """The file, mapped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)
        self.jobs = len(self.map) // ENTRY

    @classmethod
    def new(cls, path: Path, jobs: int) -> Ledger:
        """Make the file."""
        with path.open("wb") as file:
            file.truncate(jobs * ENTRY)
        return cls(path)

    # -- in the workers --------------------------------------------------------------------------------------

    def at_work(self) -> None:
        """Say that this process is about to take jobs."""
        Path(f"{self.path}.{os.getpid()}").touch()

    def run(self, number: int) -> None:
        """Do the job: take down when it first ran, and that it did."""
        runs = self.jobs * 16 + number
        if not self.map[runs]:
            struct.pack_into("d", self.map, (self.jobs + number) * 8, time.monotonic())
        self.map[runs] = min(self.map[runs] + 1, 255)

    # -- in the producer -------------------------------------------------------------------------------------

    def putting(self, number: int) -> None:
        """Take down that the job is about to be put."""
        struct.pack_into("d", self.map, number * 8, time.monotonic())

    # -- for who measures ------------------------------------------------------------------------------------

    def workers(self) -> int:
        """How many have said that they are at work."""
        return sum(1 for _ in self.path.parent.glob(f"{self.path.name}.*"))

    def ran(self, jobs: int) -> int:
        """How many of the first so many jobs have run."""
        return jobs - self.map[self.jobs * 16 : self.jobs * 16 + jobs].count(0)

    def ran_again(self) -> int:
        """How many jobs have run more than once."""
        runs = self.map[self.jobs * 16 :]
        return self.jobs - runs.count(0) - runs.count(1)

    def times(self, jobs: int) -> tuple[array[float], array[float]]:
        """When the first so many jobs were put, and when they started."""
        return (
            array("d", self.map[: jobs * 8]),
            array("d", self.map[self.jobs * 8 : (self.jobs + jobs) * 8]),
        )


async def burst(put: Put, ledger: Ledger, count: int, window: int) -> int:
    """Put so many jobs, so many of them at once."""
    numbers = iter(range(count))

    async def putter() -> None:
        for number in numbers:
            ledger.putting(number)
            await put(number)

    await asyncio.gather(*(putter() for _ in range(window)))
    return count


async def trickle(put: Put, ledger: Ledger, count: int, per_second: float) -> int:
    """Put so many jobs, one after the other, at an even rate."""
    start = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, start + number / per_second - time.monotonic()))
        ledger.putting(number)
        await put(number)
    return count


async def load(put: Put, path: str, how: str, count: int, pace: float) -> None:
    """Put jobs and print the seconds that it took, as JSON.

    Args:
        put: puts the job of a number, and returns once the queue has it.
        path: of the ledger.
        how: "burst" or "trickle".
        count: how many.
        pace: how many at once, or how many a second.
    """
    ledger, start = Ledger(Path(path)), time.monotonic()
    await (burst(put, ledger, count, int(pace)) if how == "burst" else trickle(put, ledger, count, pace))
    print(json.dumps({"seconds": time.monotonic() - start}), flush=True)
