"""Start many idle `LoopActor`s and print what they weigh."""

from __future__ import annotations

import json
import os
import sys

from agentbus.runtime import LoopActor
from benchmarks.process import resident_bytes


class Idle(LoopActor):
    """Answers, and otherwise does nothing."""

    def on_receive(self, message: object) -> object:
        return message


def main(count: int) -> None:
    Idle.start().ask("warm up", timeout=10)
    before = resident_bytes(os.getpid())
    refs = [Idle.start() for _ in range(count)]
    refs[-1].ask("all have started", timeout=60)
    print(json.dumps({"bytes": resident_bytes(os.getpid()) - before, "actors": len(refs)}), flush=True)
    os._exit(0)  # what it costs to stop them is another measurement


if __name__ == "__main__":
    main(int(sys.argv[1]))
