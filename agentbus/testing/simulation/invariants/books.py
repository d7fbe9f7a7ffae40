"""Sent = handled + expired + dead-lettered + unknown, counted to the letter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from agentbus.agents.outcome import Outcome
from agentbus.errors import (
    AgentError,
    AskTimeoutError,
    BusClosedError,
    FutureCancelledError,
    OutcomeUnknownError,
    RuntimeFault,
)
from agentbus.testing.simulation.bus.letters import Letter, LifeLog
from agentbus.testing.simulation.evidence import Evidence

FATES: Final[tuple[tuple[type[BaseException], Outcome], ...]] = (
    (AskTimeoutError, Outcome.EXPIRED),
    (OutcomeUnknownError, Outcome.UNKNOWN),
    (BusClosedError, Outcome.UNKNOWN),
    (FutureCancelledError, Outcome.UNKNOWN),
    (AgentError, Outcome.DEAD_LETTERED),
    (RuntimeFault, Outcome.DEAD_LETTERED),
)
"""What an error says became of a letter; the first that fits counts. Who gave up knows nothing."""


def fate(letter: Letter) -> Outcome | None:
    """Give what became of a letter, as its sender was told; None for what is none of the four."""
    if letter.error is None:
        return Outcome.DELIVERED if letter.ask and letter.reply is not None else letter.outcome
    return next((outcome for kind, outcome in FATES if isinstance(letter.error, kind)), None)


def the_books_balance(evidence: Evidence) -> Iterator[str]:
    """For every life that was not killed, what it sent is the sum of the four. agents.md, *Link*."""
    sent: Counter[LifeLog] = Counter()
    fates: dict[LifeLog, Counter[Outcome]] = {}
    for letter in evidence.letters:
        sent[letter.sender] += 1
        outcome = fate(letter)
        if outcome is not None:
            fates.setdefault(letter.sender, Counter())[outcome] += 1
    for life, count in sent.items():
        known = fates.get(life, Counter())
        if life.killed_at is None and known.total() != count:
            yield f"{life} sent {count}, and knows of {dict(known)}"


def dead_letters_are_published_once(evidence: Evidence) -> Iterator[str]:
    """A told letter is published as a dead one if its sender is told so, and only then. agents.md, *Link*."""
    buried = Counter(name for life in evidence.lives for name in life.buried)
    for letter in evidence.letters:
        count = buried[letter.name]
        if count > 1:
            yield f"{letter} was published {count} times as a dead letter"
        elif not letter.ask and letter.outcome is Outcome.DEAD_LETTERED and count == 0:
            yield f"{letter} is a dead letter that nobody has published"
        elif count and letter.outcome in {Outcome.DELIVERED, Outcome.EXPIRED}:
            yield f"{letter} is {letter.outcome}, and was published as a dead letter"
