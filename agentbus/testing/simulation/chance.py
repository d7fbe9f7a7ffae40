"""Drawing steps: each function turns chance into one thing that happens to the cast of a plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from agentbus.protocol import CloseCode
from agentbus.testing.simulation.operations import (
    Close,
    CloseOnLoss,
    Connect,
    Publish,
    Send,
    Subscribe,
    Unsubscribe,
)
from agentbus.testing.simulation.plan import Step, TokenMood
from agentbus.testing.simulation.troubles import (
    ChangeMood,
    CrashHub,
    Cut,
    CutAfter,
    Delaying,
    Dropping,
    ForceClose,
    Partition,
    Pause,
    PauseHub,
    RefuseConnect,
    Refusing,
    ShutDownHub,
    Splitting,
)

CHANNELS: Final = ("rooms/a", "rooms/b", "rooms/c")
FORBIDDEN: Final = ("private/x", "_system/x", "")
FORCED_CODES: Final = (
    *(1000, 1001, 1008, 1009, 1011, 1012, 1013, 1014),
    *(4000, 4001, 4002, 4003, 4010, 4011, 4012, 4020, 4999),
)
"""Every close code of spec section 5 that can be sent, and one that nobody knows."""


RETRYABLE_CODES: Final = tuple(code for code in FORCED_CODES if CloseCode.of(code).retry.allowed)


@dataclass(frozen=True)
class Cast:
    """Who can be hit.

    Attributes:
        random: the plan's chance.
        names: of the clients.
        with_tokens: those of them that have a token provider.
    """

    random: Random
    names: tuple[str, ...]
    with_tokens: tuple[str, ...]

    def one(self) -> str:
        """Pick a client."""
        return self.random.choice(self.names)

    def one_or_all(self) -> str | None:
        """Pick a client, or everybody."""
        return self.random.choice((*self.names, None))

    def some(self, least: float, most: float) -> float:
        """Pick a number, small ones more often."""
        factor: float = (most / least) ** self.random.random()
        return round(least * factor, 3)


Draw = Callable[[Cast, float], Step]


# -- operations --------------------------------------------------------------------------------------------


def connect(cast: Cast, at: float) -> Step:
    """Connect somebody, who may be connected."""
    return Connect(at=at, who=cast.one())


def close(cast: Cast, at: float) -> Step:
    """Close somebody's connection."""
    return Close(at=at, who=cast.one(), code=cast.random.choice((1000, 3001)))


def close_on_loss(cast: Cast, at: float) -> Step:
    """Let somebody close as soon as the connection is lost."""
    return CloseOnLoss(at=at, who=cast.one())


def subscribe(cast: Cast, at: float) -> Step:
    """Subscribe somebody, seldom to what is not allowed."""
    forbidden = cast.random.random() < 0.06
    channel = cast.random.choice(FORBIDDEN if forbidden else CHANNELS)
    return Subscribe(at=at, who=cast.one(), channel=channel, metadata=cast.random.random() < 0.3)


def unsubscribe(cast: Cast, at: float) -> Step:
    """Unsubscribe somebody, who may not be subscribed."""
    return Unsubscribe(at=at, who=cast.one(), channel=cast.random.choice(CHANNELS))


def publish(cast: Cast, at: float) -> Step:
    """Publish a little."""
    return _publish(cast, at, cast.random.choice((1, 1, 1, 2, 5)), cast.random.choice((0, 0, 150, 700)))


def flood(cast: Cast, at: float) -> Step:
    """Publish more than a second's worth at once."""
    return _publish(cast, at, cast.random.choice((60, 120)), 0)


def publish_much(cast: Cast, at: float) -> Step:
    """Publish some large messages, a few of them larger than the hub takes."""
    return _publish(cast, at, cast.random.choice((1, 20)), cast.random.choice((3000, 8000, 70_000)))


def _publish(cast: Cast, at: float, count: int, size: int) -> Step:
    return Publish(at=at, who=cast.one(), channel=cast.random.choice(CHANNELS), count=count, size=size)


def send(cast: Cast, at: float) -> Step:
    """Send something to somebody, perhaps to oneself."""
    return Send(at=at, who=cast.one(), to=cast.one(), count=cast.random.choice((1, 1, 3)))


# -- the network -------------------------------------------------------------------------------------------


def cut(cast: Cast, at: float) -> Step:
    """Break connections."""
    return Cut(at=at, who=cast.one_or_all(), silently=cast.random.random() < 0.3)


def cut_after(cast: Cast, at: float) -> Step:
    """Break connections at some byte: of the handshake, of a frame's head, of its body."""
    size = cast.random.randrange(0, cast.random.choice((40, 400, 1500)))
    toward = cast.random.choice(("client", "server", "both"))
    return CutAfter(at=at, who=cast.one_or_all(), lasts=cast.some(1, 20), size=size, toward=toward)


def dropping(cast: Cast, at: float) -> Step:
    """Break connections at random."""
    probability = cast.random.choice((0.03, 0.1, 0.3))
    return Dropping(at=at, who=cast.one_or_all(), lasts=cast.some(1, 20), probability=probability)


def delaying(cast: Cast, at: float) -> Step:
    """Slow the network down, at times beyond every time-out."""
    seconds = cast.some(0.01, 20)
    jitter = cast.random.choice((0.0, seconds))
    return Delaying(at=at, who=cast.one_or_all(), lasts=cast.some(1, 30), seconds=seconds, jitter=jitter)


def splitting(cast: Cast, at: float) -> Step:
    """Deliver in pieces."""
    return Splitting(at=at, who=cast.one_or_all(), lasts=cast.some(1, 30))


def partition(cast: Cast, at: float) -> Step:
    """Let nothing through."""
    toward = cast.random.choice(("client", "server", "both"))
    return Partition(at=at, who=cast.one_or_all(), lasts=cast.some(0.1, 90), toward=toward)


def refusing(cast: Cast, at: float) -> Step:
    """Let dials fail."""
    return Refusing(at=at, who=cast.one_or_all(), lasts=cast.some(1, 40))


# -- processes ---------------------------------------------------------------------------------------------


def pause_client(cast: Cast, at: float) -> Step:
    """Stop a client's process."""
    return Pause(at=at, who=cast.one(), lasts=cast.some(0.1, 100))


def pause_hub(cast: Cast, at: float) -> Step:
    """Stop the hub's process."""
    return PauseHub(at=at, lasts=cast.some(0.1, 100))


def shut_down_hub(cast: Cast, at: float) -> Step:
    """Restart the hub in good order."""
    return ShutDownHub(at=at, grace=cast.random.choice((0.0, 1.0, 5.0)), down=cast.some(0.1, 20))


def crash_hub(cast: Cast, at: float) -> Step:
    """Restart the hub the hard way."""
    return CrashHub(at=at, down=cast.some(0.1, 20), silently=cast.random.random() < 0.3)


# -- the hub's verdicts ------------------------------------------------------------------------------------


def force_close(cast: Cast, at: float) -> Step:
    """Close somebody with any code."""
    return ForceClose(at=at, who=cast.one(), code=cast.random.choice(FORCED_CODES))


def refuse_connect(cast: Cast, at: float) -> Step:
    """Turn somebody away with any code."""
    code = cast.random.choice(FORCED_CODES)
    return RefuseConnect(at=at, who=cast.one(), code=code, times=cast.random.choice((1, 2)))


def change_mood(cast: Cast, at: float) -> Step:
    """Let a token provider behave well, slowly, badly or not at all."""
    random = cast.random
    mood = TokenMood(
        delay=random.choice((0.0, 0.0, cast.some(0.1, 15))),
        fails=random.random() < 0.3,
        gives=random.choice(
            ("good", "good", "good", "empty", "nonsense", "malformed", "forged", "powerless")
        ),
        lifetime=random.choice((-5, 1, 3, 10, 30, 3600)),
    )
    return ChangeMood(at=at, who=random.choice(cast.with_tokens or cast.names), mood=mood)
