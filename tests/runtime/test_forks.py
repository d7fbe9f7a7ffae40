"""Real forks, each in an interpreter of its own: forking the test runner's threads would prove little."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

PRELUDE = """
import asyncio, gc, os, sys, threading
from agentbus.errors import ForkedError
from agentbus.runtime import *
from agentbus.runtime import forks

async def double(value):
    return value * 2

def refuses(use):
    try:
        use()
    except ForkedError as error:
        return True
    return False

def in_child(work):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            sys.stdout.flush()
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def test_what_is_inherited_refuses_and_what_is_new_works() -> None:
    output = run("""
        runtime = default_runtime()
        assert runtime.io.run(double(1)).get(5) == 2
        pending, view = Future(), Future().map(str)
        done = Future.completed("there already")
        source = EventSource()
        stream = source.listen()
        theirs = asyncio.new_event_loop()
        hosted = HostedLoop(theirs)

        def work():
            uses = dict(
                run=lambda: runtime.io.run(double(1)), call_soon=lambda: runtime.agents.call_soon(print),
                get=pending.get, set=lambda: pending.set(1), fail=lambda: pending.set_exception(KeyError()),
                cancel=pending.cancel, callback=lambda: pending.add_done_callback(print), view=view.get,
                emit=lambda: source.emit(1), listen=source.listen, end=source.close, next=stream.get,
                stream=stream.close, lane=lambda: runtime.callbacks.lane(print), close=runtime.close,
                threads=runtime.io.close, hosted=lambda: hosted.call_soon(print),
                on_close=lambda: runtime.on_close(print),
            )
            print("not refused:", [name for name, use in uses.items() if not refuses(use)])
            try:
                asyncio.run(asyncio.wait_for(pending, 1))
            except ForkedError:
                print("await refused")
            print(done.get(), pending.done())
            new = default_runtime()
            assert new is not runtime and runtime.forked and not new.forked
            print(new.io.run(double(21)).get(5), new.agents.run(double(2)).get(5), new.close())

        in_child(work)
        print("parent", runtime.io.run(double(3)).get(5), runtime.close())
        theirs.close()
    """)
    assert output.splitlines() == [
        "not refused: []",
        "await refused",
        "there already False",
        "42 4 True",
        "parent 6 True",
    ]


@pytest.mark.parametrize("uvloop", [True, False])
def test_a_child_that_collects_and_exits_leaves_the_parent_its_ears(uvloop: bool) -> None:
    output = run(f"""
        loop = LoopThread("parent", uvloop={uvloop})

        async def serve():
            return await asyncio.start_server(echo, "127.0.0.1", 0)

        async def echo(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()

        async def ask(port):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"heard\\n")
            answer = await reader.readline()
            writer.close()
            return answer.decode().strip()

        server = loop.run(serve()).get(5)
        port = server.sockets[0].getsockname()[1]
        print(loop.run(ask(port)).get(5))

        def work():
            global loop, server
            del loop, server
            for _ in range(3):
                gc.collect()

        in_child(work)
        child = os.fork()
        if child == 0:
            sys.exit(0)  # an ordinary exit: exit hooks and finalizers run
        assert os.waitpid(child, 0)[1] == 0
        print(loop.run(ask(port)).get(5), loop.run(double(2)).get(5))

        async def close():
            server.close()
        loop.run(close()).get(5)
        print(loop.close())
    """)
    assert output.splitlines() == ["heard", "heard 4", "True"]


def test_a_lock_held_elsewhere_during_the_fork_harms_no_child() -> None:
    output = run("""
        from agentbus.runtime import runtime as module
        source = EventSource()
        stream = source.listen()
        held = [module._making_default, source._lock, stream._pipe._counting]
        inside, release = threading.Event(), threading.Event()

        def hold():
            for lock in held:
                lock.acquire()
            inside.set()
            release.wait(10)
            for lock in reversed(held):
                lock.release()

        holder = threading.Thread(target=hold)
        holder.start()
        inside.wait(5)

        def work():
            global stream
            del stream  # its finalizer would take the lock
            gc.collect()
            runtime = default_runtime()
            print(runtime.io.run(double(4)).get(5), runtime.close())

        in_child(work)
        release.set()
        holder.join(5)
    """)
    assert output.splitlines() == ["8 True"]


def test_a_fork_on_the_loop_s_own_thread() -> None:
    output = run("""
        runtime = default_runtime()

        async def fork():
            def work():
                print(refuses(lambda: runtime.io.call_soon(print)), refuses(runtime.close))
                done = []
                def elsewhere():
                    new = default_runtime()
                    done.append(new.io.run(double(5)).get(5))
                    new.close()
                thread = threading.Thread(target=elsewhere)
                thread.start()
                thread.join(5)
                print(done)
            in_child(work)
            return "forked"

        print(runtime.io.run(fork()).get(10), runtime.close())
    """)
    assert output.splitlines() == ["True True", "[10]", "forked True"]


def test_grandchildren_too() -> None:
    output = run("""
        def work():
            runtime = default_runtime()
            print(forks.generation, runtime.io.run(double(forks.generation)).get(5))
            if forks.generation < 3:
                in_child(work)
                assert runtime.io.run(double(1)).get(5) == 2
            runtime.close()

        work()
    """)
    assert output.splitlines() == ["0 0", "1 2", "2 4", "3 6"]


def test_multiprocessing_by_fork_works_in_the_child() -> None:
    output = run("""
        import multiprocessing
        runtime = default_runtime()
        runtime.io.run(double(1)).get(5)

        def target(queue):
            refused = refuses(lambda: runtime.io.run(double(1)))
            queue.put((refused, default_runtime().io.run(double(6)).get(5)))

        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        process = context.Process(target=target, args=(queue,))
        process.start()
        print(queue.get())
        process.join(10)
        print(process.exitcode, runtime.close())
    """)
    assert output.splitlines() == ["(True, 12)", "0 True"]
