"""Actors and cells on both sides of a real fork, in an interpreter of their own."""

from __future__ import annotations

import os

import pytest

from tests.runtime.test_forks import run

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

ACTORS = """
        class Echo(LoopActor):
            def on_receive(self, message):
                return message

        class Behaviour:
            def __init__(self, context): pass
            def on_start(self): pass
            def on_message(self, message): return message
            on_control = on_failure = on_message
            def on_stop(self): pass

        def cell(thread):
            return start_cell(default_runtime(), Behaviour, CellOptions(name="cell", thread=thread))
"""


def test_inherited_actors_refuse_and_new_ones_work() -> None:
    run(
        ACTORS
        + """
        actor, cells = Echo.start(), [cell(False), cell(True)]
        bounded = Echo.start_with(StartOptions(mailbox=MailboxOptions(1)))
        assert actor.ask(1) == 1
        assert [each.ask(2).get(5) for each in cells] == [2, 2]

        def work():
            for ref in (actor, bounded):
                assert not ref.is_alive()
                uses = [lambda: ref.tell(1), lambda: ref.ask(1), ref.stop, lambda: ref.tell_control(1)]
                assert all(map(refuses, uses)), [refuses(use) for use in uses]
            for ref in cells:
                uses = [lambda: ref.tell(1), lambda: ref.ask(1), lambda: ref.stop()]
                assert all(map(refuses, uses)), [refuses(use) for use in uses]
            assert Echo.start().ask("new") == "new"
            assert [cell(thread).ask("new").get(5) for thread in (False, True)] == ["new"] * 2
            default_runtime().close()

        in_child(work)
        assert actor.ask(3) == 3
        assert [each.ask(4).get(5) for each in cells] == [4, 4]
        """
    )


def test_an_actor_that_was_busy_at_the_fork_refuses_too() -> None:
    run(
        ACTORS
        + """
        begun, gate = threading.Event(), threading.Event()

        class Busy(LoopActor):
            def on_receive(self, message):
                begun.set()
                gate.wait(10)

        busy = Busy.start_with(StartOptions(runtime=default_runtime()))
        busy.tell(1)
        assert begun.wait(5)
        busy.tell(2)

        def work():
            assert refuses(lambda: busy.tell(3))

        in_child(work)
        gate.set()
        busy.stop()
        """
    )
