"""Peers that have not introduced themselves, or whose list is out of step: they are asked, a few times."""

from __future__ import annotations

from collections.abc import Iterator

MAX_PER_CALL = 10


class Strangers:
    """Who should be asked, and when.

    Args:
        delay: seconds between a peer's first sight and the question, and between questions.
        tries: questions per peer; who does not answer is no node.
        capacity: peers that are kept in mind.
    """

    def __init__(self, delay: float, tries: int, capacity: int) -> None:
        self._delay = delay
        self._tries = tries
        self._capacity = capacity
        self._due: dict[str, tuple[float, int]] = {}
        self._unclear: set[str] = set()

    def seen(self, peer: str, now: float) -> None:
        """Note a peer that no node is known at."""
        self._note(peer, now + self._delay)

    def unclear(self, peer: str, now: float) -> None:
        """Note a node that said something which needs its introduction to be understood: ask it at once."""
        if peer not in self._unclear:
            self._due.pop(peer, None)
            self._note(peer, now)
            self._unclear.add(peer)

    def _note(self, peer: str, at: float) -> None:
        if peer not in self._due and len(self._due) < self._capacity:
            self._due[peer] = (at, self._tries)

    @property
    def waiting(self) -> bool:
        """Whether a peer may still introduce itself."""
        return any(tries > 0 for _, tries in self._due.values())

    def is_unclear(self, peer: str) -> bool:
        """Whether what is known of the node there is out of step: not to be told to others."""
        return peer in self._unclear

    def known(self, peer: str) -> None:
        """Note that others have told about a peer: enough for who was only seen."""
        if peer not in self._unclear:
            self._due.pop(peer, None)

    def gone(self, peer: str) -> None:
        """Forget a peer: it has introduced itself, or left."""
        self._due.pop(peer, None)
        self._unclear.discard(peer)

    def clear(self) -> None:
        """Forget all."""
        self._due.clear()
        self._unclear.clear()

    def to_ask(self, now: float) -> Iterator[str]:
        """Give the peers to ask now, a few per call."""
        due = [peer for peer, (at, tries) in self._due.items() if at <= now and tries > 0][:MAX_PER_CALL]
        for peer in due:
            tries = self._due[peer][1] - 1
            self._due[peer] = (now + self._delay, tries)
            if tries == 0 and peer in self._unclear:
                self.gone(peer)
            yield peer

    def next_deadline(self) -> float | None:
        """When somebody is to be asked next."""
        if not self._due:
            return None
        return min((at for at, tries in self._due.values() if tries > 0), default=None)
