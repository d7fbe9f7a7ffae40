"""Decides whether an ask that came back to an agent of its own chain closes a cycle. On the I/O loop.

The node that it came back to has everybody in the cycle say once when they are blocked: its own agents by
their `Waits`, others by a probe to their node. When all have said so, nobody in the cycle can go on, and the
ask fails with their names. A wait that ends takes its word with it: the ask that hangs on it is over, too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from agentbus.agents.address import Address, parse_address
from agentbus.agents.deadlock.waits import Waits
from agentbus.agents.envelope import Envelope, Kind, Stamp
from agentbus.agents.headers import Waiting
from agentbus.agents.outcome import Outcome
from agentbus.agents.reception import Answer, Reception
from agentbus.errors import DeadlockError, InvalidNameError
from agentbus.runtime import Future, Loop

MAX_SUSPICIONS = 1000
"""Cycles that are looked into at a time; a further ask ends at its deadline."""

Probe = Callable[[Address, str, str], None]


class Suspicion:
    """An ask that may close a cycle.

    Args:
        cycle: who would wait in it, from the agent that was asked to the one that asks.
        future: of the ask.
    """

    def __init__(self, cycle: tuple[Waiting, ...], future: Future[Any]) -> None:
        self._cycle = cycle
        self._future = future
        self._missing = set(cycle)

    def confirm(self, link: Waiting) -> None:
        """Take the word of one who is blocked."""
        self._missing.discard(link)
        if not self._missing:
            names = tuple(address for address, _number in self._cycle)
            self._future.try_set_exception(DeadlockError((*names, names[0])))


class Detector:
    """The cycles that are looked into by one node.

    Args:
        waits: of this node's agents.
        here: namespace and node.
        probe: asks another node to tell when an agent's wait is blocked: address, wait, number of the probe.
        loop: the I/O loop.
    """

    def __init__(self, waits: Waits, here: tuple[str, str], probe: Probe, loop: Loop) -> None:
        self._waits = waits
        self._here = here
        self._probe = probe
        self._loop = loop
        self._suspicions: dict[Suspicion, tuple[str, ...]] = {}
        self._probes: dict[str, Callable[[], None]] = {}

    def __len__(self) -> int:
        """Count the cycles that are looked into."""
        return len(self._suspicions)

    def suspect(self, cycle: tuple[Waiting, ...], future: Future[Any]) -> None:
        """Look into a cycle until the ask is answered, or fail it.

        Args:
            cycle: see `Suspicion`.
            future: of the ask.
        """
        if future.done() or len(self._suspicions) >= MAX_SUSPICIONS:
            return
        suspicion = Suspicion(cycle, future)
        self._suspicions[suspicion] = ()
        future.add_done_callback(lambda _future: self._loop.call_soon(self._forget, suspicion))
        for link in cycle:
            self._inquire(suspicion, link)

    def _inquire(self, suspicion: Suspicion, link: Waiting) -> None:
        text, wait = link
        try:
            address = parse_address(text, namespace=self._here[0], node=self._here[1])
        except InvalidNameError:
            return  # a stranger's chain: nobody confirms it, and the deadline ends the ask
        if (address.namespace, address.node) == self._here:
            self._waits.watch(address.agent, wait, partial(suspicion.confirm, link))
        elif suspicion in self._suspicions:
            number = self._waits.new_id()
            self._probes[number] = partial(suspicion.confirm, link)
            self._suspicions[suspicion] += (number,)
            self._probe(address, wait, number)

    # -- between nodes ---------------------------------------------------------------------------------------

    def serve(self, reception: Reception, answer: Answer) -> None:
        """Answer the probes of other nodes, and take their answers."""

        def on_probe(stamp: Stamp, sequence: int, envelope: Envelope, _deadline: float | None) -> None:
            answer(stamp, None, sequence, Outcome.DELIVERED)
            inquiry = _read(envelope)
            if inquiry is not None:
                wait, number = inquiry
                told = Envelope("", Kind.PROBED, correlation=number)
                self._waits.watch(envelope.recipient, wait, lambda: answer(stamp, told, None, None))

        def on_probed(stamp: Stamp, sequence: int, envelope: Envelope, _deadline: float | None) -> None:
            answer(stamp, None, sequence, Outcome.DELIVERED)
            self.confirmed(envelope.correlation or "")

        reception.serve(Kind.PROBE, on_probe)
        reception.serve(Kind.PROBED, on_probed)

    def confirmed(self, number: str) -> None:
        """Take the answer to a probe."""
        confirm = self._probes.pop(number, None)
        if confirm is not None:
            confirm()

    def _forget(self, suspicion: Suspicion) -> None:
        for number in self._suspicions.pop(suspicion, ()):
            self._probes.pop(number, None)


def _read(envelope: Envelope) -> tuple[str, str] | None:
    try:
        return msgspec.json.decode(envelope.body, type=tuple[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
