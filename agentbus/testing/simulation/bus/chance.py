"""Drawing what happens between nodes of a bus."""

from __future__ import annotations

from typing import Any

from agentbus.testing.simulation.bus.steps import CloseNode, KillNode, SendLetters, StartNode, TokensLast
from agentbus.testing.simulation.chance import RETRYABLE_CODES, Cast
from agentbus.testing.simulation.plan import Step
from agentbus.testing.simulation.troubles import ForceClose

OVER_MESSAGE_RATE = 4011


def start_node(cast: Cast, at: float) -> Step:
    """Start a node, which may live."""
    return StartNode(at=at, who=cast.one())


def close_node(cast: Cast, at: float) -> Step:
    """Close a node."""
    return CloseNode(at=at, who=cast.one())


def kill_node(cast: Cast, at: float) -> Step:
    """Kill a node, for a moment or for longer than a suspicion lasts."""
    return KillNode(at=at, who=cast.one(), down=cast.some(0.1, 60), silently=cast.random.random() < 0.4)


def tell(cast: Cast, at: float) -> Step:
    """Tell somebody something."""
    return _letters(cast, at, count=cast.random.choice((1, 2, 5)))


def tell_much(cast: Cast, at: float) -> Step:
    """Tell more than a connection may carry in a second."""
    return _letters(cast, at, count=cast.random.choice((100, 300)), size=cast.random.choice((0, 500)))


def tell_in_time(cast: Cast, at: float) -> Step:
    """Tell something that is soon too late."""
    return _letters(cast, at, count=2, timeout=cast.some(0.05, 20))


def ask(cast: Cast, at: float) -> Step:
    """Ask somebody something."""
    timeout = cast.random.choice((None, cast.some(0.05, 30)))
    return _letters(cast, at, ask=True, count=cast.random.choice((1, 1, 3)), timeout=timeout)


def ask_for_long(cast: Cast, at: float) -> Step:
    """Ask for something that takes a while."""
    timeout = cast.random.choice((None, 10.0))
    return _letters(cast, at, ask=True, takes=cast.some(0.1, 15), timeout=timeout)


def ask_around(cast: Cast, at: float) -> Step:
    """Ask for something that takes another question."""
    return _letters(cast, at, ask=True, timeout=cast.some(1, 60), forward=cast.one())


def ask_and_cancel(cast: Cast, at: float) -> Step:
    """Ask for something, perhaps of an agent that has to ask another, and give it up at some moment."""
    return _letters(
        cast,
        at,
        ask=True,
        count=cast.random.choice((1, 3)),
        takes=cast.random.choice((0.0, cast.some(0.01, 5))),
        forward=cast.random.choice((None, cast.one())),
        cancel_after=cast.random.choice((0.0, cast.some(0.001, 0.2), cast.some(0.1, 20))),
    )


def ask_for_trouble(cast: Cast, at: float) -> Step:
    """Ask for something that fails, or tell so."""
    return _letters(cast, at, ask=cast.random.random() < 0.5, fails=True)


def ask_nobody(cast: Cast, at: float) -> Step:
    """Write to an agent that does not exist."""
    step = _letters(cast, at, ask=cast.random.random() < 0.5)
    return SendLetters(at=at, who=step.who, to=step.to, agent="nobody", ask=step.ask)


def send_large(cast: Cast, at: float) -> Step:
    """Write something large, or larger than the bus carries."""
    return _letters(
        cast, at, ask=cast.random.random() < 0.5, size=cast.random.choice((20_000, 60_000, 100_000))
    )


def _letters(cast: Cast, at: float, **fields: Any) -> SendLetters:
    agent = cast.random.choice(("worker", "worker", "twins"))
    return SendLetters(at=at, who=cast.one(), to=cast.one(), agent=agent, **fields)


def force_close(cast: Cast, at: float) -> Step:
    """Close somebody's connection with a code that allows for another attempt."""
    codes = [code for code in RETRYABLE_CODES if code != OVER_MESSAGE_RATE]  # that one must never be earned
    return ForceClose(at=at, who=cast.one(), code=cast.random.choice(codes))


def tokens_last(cast: Cast, at: float) -> Step:
    """Let tokens expire sooner or later."""
    return TokensLast(at=at, lifetime=cast.random.choice((3, 10, 30, 3600)))
