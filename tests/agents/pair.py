"""Two links, two directions, and a network that obeys the test."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import msgspec

from agentbus.agents.envelope import Envelope, Packet, Stamp, decode_envelope, encode_envelope
from agentbus.agents.link import Inbound, Link
from agentbus.agents.link_queue import LinkOptions
from agentbus.agents.outcome import Outcome
from agentbus.agents.parts import AssemblyRoom

A, B = Stamp("a", "1"), Stamp("b", "1")
ROOM = 2000


def envelope(name: str, size: int = 0, alphabet: str = "x") -> bytes:
    text = alphabet * (size // len(alphabet)) + alphabet[: size % len(alphabet)]
    return encode_envelope(Envelope(id=name, sender=text or None))


class Pair:
    """Two links, two directions, and a network that obeys the test."""

    def __init__(self, **limits: Any) -> None:
        options = LinkOptions(**limits)
        self.now = 100.0
        self.halves = AssemblyRoom(1 << 30)
        self.a, self.b = (Link(*ends, options, self.now, self.halves) for ends in ((A, B), (B, A)))
        self.wire: dict[Link, deque[bytes]] = {self.a: deque(), self.b: deque()}
        self.old: list[tuple[Link, bytes]] = []
        self.handled: list[str] = []
        self.arrived: list[str] = []
        self.waiting: list[Inbound] = []
        self.outcomes: dict[str, list[Outcome]] = {}
        self.posted: list[str] = []
        self.sent: dict[str, bytes] = {}
        self.places: dict[str, int] = {}
        self.taken_back: list[str] = []
        self.room = ROOM
        self.alphabet = "x"

    def other(self, link: Link) -> Link:
        return self.b if link is self.a else self.a

    def post(self, *, lifetime: float | None = None, size: int = 0, urgent: bool = False) -> str:
        name = f"m{len(self.posted)}"
        deadline = None if lifetime is None else self.now + lifetime
        self.sent[name] = envelope(name, size, self.alphabet)
        self.places[name] = self.a.post(self.sent[name], deadline=deadline, token=name, urgent=urgent)
        self.posted.append(name)
        return name

    def withdraw(self, name: str) -> bool:
        taken = self.a.withdraw(self.places[name])
        if taken:
            self.taken_back.append(name)
        return taken

    def transmit(self, link: Link, frames: int = 1000) -> int:
        for sent in range(frames):
            packet = link.take(self.room, self.now)
            if packet is None:
                return sent
            frame = msgspec.json.encode(packet)
            assert len(frame) <= self.room
            self.wire[link].append(frame)
            self.old.append((link, frame))
        return frames

    def deliver(self, link: Link, frame: bytes) -> None:
        new = self.other(link).receive(msgspec.json.decode(frame, type=Packet), self.now)
        if link is self.a:
            for inbound in new:
                name = decode_envelope(inbound.envelope).id
                assert bytes(inbound.envelope) == self.sent[name]
                self.arrived.append(name)
                self.waiting.append(inbound)
        else:
            assert new == []
        self.collect()

    def deliver_next(self, link: Link) -> None:
        if self.wire[link]:
            self.deliver(link, self.wire[link].popleft())

    def lose_next(self, link: Link) -> None:
        if self.wire[link]:
            self.wire[link].popleft()

    def handle(self, index: int = 0) -> None:
        """Let the agent at b handle one waiting envelope, or find it too late."""
        if not self.waiting:
            return
        inbound = self.waiting.pop(index % len(self.waiting))
        late = inbound.deadline is not None and inbound.deadline <= self.now
        if not late:
            self.handled.append(decode_envelope(inbound.envelope).id)
        self.b.settle(inbound.sequence, Outcome.EXPIRED if late else Outcome.DELIVERED, self.now)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for link in (self.a, self.b):
            link.tick(self.now)
        self.collect()

    def collect(self) -> None:
        for settled in self.a.take_settled():
            self.outcomes.setdefault(settled.token, []).append(settled.outcome)

    def cut(self, *, lose: bool) -> None:
        """Both sides get new connections; what was on its way is lost, or comes late between the new."""
        for link in (self.a, self.b):
            if lose:
                self.wire[link].clear()
            link.rewind(self.now)

    def settle_all(self) -> None:
        """Let a healed network run until nothing moves."""
        for _ in range(1000):
            moved = 0
            for link in (self.a, self.b):
                moved += self.transmit(link)
                while self.wire[link]:
                    self.deliver_next(link)
            while self.waiting:
                self.handle()
            if self.a.idle and self.b.idle:
                return
            if moved:
                continue
            times = [time for link in (self.a, self.b) if (time := link.next_deadline()) is not None]
            self.advance(max(min(times, default=self.now) - self.now, 0.001))
        raise AssertionError("the links never came to rest")

    def check_account(self) -> None:
        for name in self.taken_back:
            assert name not in self.arrived
            assert self.outcomes[name] == [Outcome.EXPIRED]
        assert set(self.outcomes) == set(self.posted)
        assert all(len(fates) == 1 for fates in self.outcomes.values())


def run_chaos(pair: Pair, seed: int, steps: int, sizes: tuple[int, ...] = (0, 40, 400)) -> None:
    """Do anything that the world may do, in an order drawn from a seed."""
    dice = random.Random(seed)
    for _ in range(steps):
        link = dice.choice((pair.a, pair.b))
        match dice.randrange(12):
            case 0 | 1 | 2:
                lifetime = dice.choice((None, None, 0.05, 1.0, 30.0))
                pair.post(lifetime=lifetime, size=dice.choice(sizes))
            case 3:
                pair.transmit(link, dice.randrange(1, 4))
            case 4 | 5:
                pair.deliver_next(link)
            case 6:
                pair.handle(dice.randrange(5))
            case 7:
                pair.advance(dice.choice((0.01, 0.1, 0.7, 5.0)))
            case 8:
                pair.cut(lose=dice.random() < 0.7)
            case 9 if pair.old:
                pair.deliver(*dice.choice(pair.old))
            case 10 if pair.posted:
                pair.withdraw(dice.choice(pair.posted[-5:]))
            case _:
                pair.lose_next(link)
