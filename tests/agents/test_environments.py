"""A bus in the places where people start one: notebooks, test runners, uvloop, a shell with Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.e2e

AGENTS = """
import asyncio
from agentbus import AgentActor, AsyncAgentActor, Bus, Request, handles

class Square(Request[int]):
    value: int

class Threaded(AgentActor):
    @handles
    def square(self, task: Square) -> int:
        return task.value ** 2

class OnLoop(AsyncAgentActor):
    @handles
    async def square(self, task: Square) -> int:
        await asyncio.sleep(0)
        return task.value ** 2
"""


def program(body: str) -> list[str]:
    """The command that runs a program with the agents above."""
    return [sys.executable, "-X", "dev", "-c", AGENTS + textwrap.dedent(body)]


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)


def test_a_notebook_asks_with_and_without_await() -> None:
    manager, client = start_new_kernel(cwd=str(ROOT))
    shown: list[str] = []

    def keep(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            shown.append(message["content"]["text"])

    def cell(code: str) -> None:
        reply = client.execute_interactive(textwrap.dedent(code), timeout=30, output_hook=keep)
        assert reply["content"]["status"] == "ok", reply["content"]

    try:
        cell(AGENTS)
        cell("bus = Bus(); refs = [bus.spawn(kind, name=kind.__name__) for kind in (Threaded, OnLoop)]")
        cell("print([await ref.ask(Square(value=3)) for ref in refs])")
        cell("print([ref.ask(Square(value=4)).get(timeout=10) for ref in refs])")
        cell("await bus.close()")
        cell("async with Bus() as bus: print(await bus.spawn(OnLoop).ask(Square(value=5)))")
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert "".join(shown).split("\n") == ["[9, 9]", "[16, 16]", "25", ""]


def test_tests_of_users_run_under_pytest_asyncio(tmp_path: Path) -> None:
    test = AGENTS + textwrap.dedent("""
        import pytest

        @pytest.fixture
        async def bus():
            async with Bus() as bus:
                yield bus

        @pytest.mark.asyncio
        @pytest.mark.parametrize("kind", [Threaded, OnLoop])
        async def test_it(bus, kind):
            assert await bus.spawn(kind).ask(Square(value=3), timeout=10) == 9

        @pytest.mark.asyncio
        async def test_a_second_loop():
            async with Bus() as bus:
                assert await bus.spawn(OnLoop).ask(Square(value=4), timeout=10) == 16
    """)
    (tmp_path / "test_users.py").write_text(test)
    settings = [
        "asyncio_mode = auto",
        "asyncio_default_fixture_loop_scope = function",
        "filterwarnings = error",
    ]
    (tmp_path / "pytest.ini").write_text("\n".join(["[pytest]", *settings, ""]))
    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_a_program_on_uvloop_gets_its_answers_on_its_loop() -> None:
    pytest.importorskip("uvloop", reason="pip install 'agentbus[fast]'")
    done = run(
        program("""
            import uvloop

            async def main():
                async with Bus() as bus:
                    refs = [bus.spawn(kind) for kind in (Threaded, OnLoop)]
                    print(await asyncio.gather(*(ref.ask(Square(value=3), timeout=10) for ref in refs)))

            uvloop.run(main())
        """)
    )
    assert (done.returncode, done.stdout) == (0, "[9, 9]\n"), done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is a signal here")
@pytest.mark.parametrize("waits", ["forever.get()", "time.sleep(60)", "for _ in bus.events.listen(): pass"])
def test_ctrl_c_ends_a_program_that_waits_and_its_agents(waits: str) -> None:
    command = program(f"""
        import time
        from agentbus import Future

        class Leaver(AgentActor):
            @handles
            def square(self, task: Square) -> int:
                return task.value
            def on_stop(self):
                print("left", flush=True)

        forever = Future()
        try:
            with Bus() as bus:
                bus.spawn(Leaver).ask(Square(value=1)).get(timeout=10)
                print("ready", flush=True)
                {waits}
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out.split(), err) == (0, ["left", "interrupted"], "")
