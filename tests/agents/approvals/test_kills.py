"""Everybody is killed while a request waits: it waits on, and its asker gets the verdict."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentbus import AgentRef, Bus, Decide, DecisionRefusedError, ListPending

ROOT = Path(__file__).resolve().parents[3]
WAIT = 30.0
pytestmark = pytest.mark.e2e

JOIN = """
    import asyncio, os, sys
    from agentbus import ApprovalDesk, Bus, SqliteStore, approved

    bus = Bus(os.environ["AGENTBUS_URL"], api_key=os.environ["AGENTBUS_KEY"], node=sys.argv[1], trust="all")
"""
DESK = textwrap.dedent(f"""{JOIN}
    with bus:
        bus.spawn(ApprovalDesk, SqliteStore(sys.argv[2]), name="desk")
        print("open", flush=True)
        bus.wait_for(name="never").get()
""")
ASKER = textwrap.dedent(f"""{JOIN}
    async def main():
        async with bus:
            print("asking", flush=True)
            desk = bus.ref("office/desk")
            verdict = await approved(desk, action="pay", payload={{"euro": 40}}, key="pay-1", ttl=600)
            print(verdict.status, verdict.by, flush=True)

    asyncio.run(main())
""")


@contextmanager
def running(bus: Bus, program: str, *arguments: str) -> Generator[subprocess.Popen[str]]:
    """Run a program until the block ends; then it is killed."""
    command = [sys.executable, "-c", program, *arguments]
    environment = os.environ | bus.credentials_env()
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() in ("open", "asking")
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WAIT)


def pending(bus: Bus, desk: AgentRef) -> list[str]:
    """Give the digests of what waits."""
    bus.wait_for(name="desk").get(timeout=WAIT)
    return [each.digest for each in desk.ask(ListPending(), timeout=WAIT).get()]


def test_a_request_survives_the_death_of_everybody(tmp_path: Path) -> None:
    with Bus(listen="127.0.0.1:0") as bus:
        desk, path = bus.ref("office/desk"), str(tmp_path / "desk.db")
        with running(bus, DESK, "office", path), running(bus, ASKER, "clerk"):
            while not (digests := pending(bus, desk)):
                continue
        decision = Decide(key="pay-1", approve=True, by="Ada", digest=digests[0])
        with running(bus, DESK, "office", path):
            assert pending(bus, desk) == digests
            desk.ask(decision, timeout=WAIT).get()
        with running(bus, DESK, "office", path), running(bus, ASKER, "clerk") as asker:
            assert pending(bus, desk) == []
            assert asker.stdout is not None
            assert asker.stdout.readline().split() == ["approved", "Ada"]
            with pytest.raises(DecisionRefusedError):
                desk.ask(Decide("pay-1", approve=False, by="Ada", digest=digests[0]), timeout=WAIT).get()
