"""What the processes run that the test of killed queues kills: the host, and workers.

python -m tests.e2e.queue_nodes host NODE DATABASE
python -m tests.e2e.queue_nodes worker NODE LOG
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from typing import Any

from agentbus import AsyncAgentActor, Bus, QueueOptions, Request, handles

OPTIONS = QueueOptions(lease=2.0, min_lease=1.0, max_attempts=8, retry_delay=0.1)


class Add(Request[int], wire_name="queue_kills.Add"):
    """Give the number and one; write it down before."""

    number: int


class Adder(AsyncAgentActor):
    def __init__(self, log: str) -> None:
        self._log = Path(log)

    @handles
    async def add(self, message: Add) -> int:
        async with self.effect("line") as effect:
            if effect.needed:
                with self._log.open("a") as lines:
                    lines.write(f"{message.number}\n")
        return message.number + 1


def main(role: str, node: str, path: str) -> None:
    bus = Bus(os.environ["AGENTBUS_URL"], api_key=os.environ["AGENTBUS_KEY"], node=node, trust="all")
    if role == "host":
        bus.queue("tasks", store=f"sqlite:///{path}", options=OPTIONS).ready.get(timeout=30)
    else:
        bus.spawn(Adder, path, queue="tasks", concurrency=8, name="adder")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    arguments: Any = sys.argv[1:]
    main(*arguments)
