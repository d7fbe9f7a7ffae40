"""A process that hosts a queue until it is killed: `python host_process.py PATH NODE`."""

from __future__ import annotations

import os
import sys

from agentbus import Bus


def main(path: str, node: str) -> None:
    url, key = os.environ["AGENTBUS_URL"], os.environ["AGENTBUS_KEY"]
    with Bus(url, api_key=key, namespace=os.environ["AGENTBUS_NAMESPACE"], trust="all", node=node) as bus:
        bus.queue("tasks", store=f"sqlite:///{path}").ready.get(timeout=30)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        bus.ended.get()


if __name__ == "__main__":
    main(*sys.argv[1:])
