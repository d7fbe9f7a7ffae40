from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from agentbus.cli.demo.chaos import Chaos, Harm
from agentbus.cli.demo.ledger import Ledger, Task
from agentbus.cli.demo.sources import Source


def test_it_waits_for_the_middle_of_the_work() -> None:
    chaos = Chaos(8, enabled=True)
    assert chaos.on_hand_out("a", answered=1, waiting=5) is None
    assert chaos.on_hand_out("a", answered=2, waiting=4) is Harm.KILL
    assert chaos.on_hand_out("b", answered=3, waiting=3) is None
    assert chaos.on_hand_out("b", answered=4, waiting=2) is Harm.CUT
    assert chaos.on_hand_out("b", answered=5, waiting=0) is None


def test_the_connection_of_a_worker_that_was_killed_is_not_cut() -> None:
    chaos = Chaos(1, enabled=True)
    assert chaos.on_hand_out("a", answered=0, waiting=0) is Harm.KILL
    assert chaos.on_hand_out("a", answered=0, waiting=0) is None
    chaos.on_death("a")
    assert chaos.on_hand_out("a", answered=0, waiting=0) is Harm.CUT


def test_switched_off_it_harms_nobody() -> None:
    assert Chaos(1, enabled=False).on_hand_out("a", answered=1, waiting=0) is None


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 3), st.randoms(use_true_random=False))
def test_both_happen_in_every_folder(files: int, workers: int, in_flight: int, chance: random.Random) -> None:
    """Play the coordinator: hand out, answer at random, and let the killed worker come back as a new one."""
    ledger = Ledger([Source(str(i), "text") for i in range(files)])
    chaos = Chaos(files, enabled=True)
    alive, held, done, born = [f"w{i}" for i in range(workers)], list[Task](), list[Harm](), workers
    while not ledger.finished:
        for worker in list(alive):
            while ledger.out_at(worker) < in_flight and (task := ledger.take(worker)):
                held.append(task)
                harm = chaos.on_hand_out(worker, answered=len(ledger.answers), waiting=ledger.waiting)
                done += [harm] if harm else []
                if harm is Harm.KILL:
                    alive.remove(worker)
                    alive.append(f"w{born}")
                    born += 1
                    chaos.on_death(worker)
                    for lost in [one for one in held if one.worker == worker]:
                        held.remove(lost)
                        ledger.give_back(lost, "killed")
                    break
        if held:
            ledger.enter(held.pop(chance.randrange(len(held))), None, "note")
    assert done == [Harm.KILL, Harm.CUT]
    assert ledger.account(workers_killed=1, connections_cut=1, seconds=0).balanced
