"""What goes wrong in a simulated world: the steps of a plan that are faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentbus.testing.faults import Toward
from agentbus.testing.simulation.plan import Step, TokenMood

if TYPE_CHECKING:
    from agentbus.testing.network import FaultManager
    from agentbus.testing.simulation.stage import Stage


class Cut(Step, frozen=True, kw_only=True):
    """Break connections now.

    Attributes:
        who: whose; None: everybody's.
        silently: only the client hears of it.
    """

    who: str | None
    silently: bool = False

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.network.cut(self.who, silently=self.silently)


class Lasting(Step, frozen=True, kw_only=True, tag=True):
    """A fault of the network for some seconds.

    Attributes:
        who: whose connections; None: everybody's.
        lasts: seconds.
    """

    who: str | None
    lasts: float

    def fault(self, stage: Stage) -> FaultManager:
        """Make the fault."""
        raise TypeError(f"{type(self).__name__} on {stage!r}: every lasting fault says what it is")

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.keep(self.fault(stage), self.lasts)


class Dropping(Lasting, frozen=True, kw_only=True):
    """Break connections at random, anywhere in a chunk."""

    probability: float

    def fault(self, stage: Stage) -> FaultManager:
        """Make the fault."""
        return stage.network.dropping(self.probability, self.who)


class Delaying(Lasting, frozen=True, kw_only=True):
    """Slow the network down."""

    seconds: float
    jitter: float = 0.0

    def fault(self, stage: Stage) -> FaultManager:
        """Make the fault."""
        return stage.network.delaying(self.seconds, self.who, jitter=self.jitter)


class Splitting(Lasting, frozen=True, kw_only=True):
    """Deliver chunks in pieces."""

    def fault(self, stage: Stage) -> FaultManager:
        """Make the fault."""
        return stage.network.splitting(self.who)


class CutAfter(Lasting, frozen=True, kw_only=True):
    """Break connections after so many bytes more, at that very byte.

    Attributes:
        size: bytes.
        toward: "client", "server" or "both": which direction is counted.
    """

    size: int
    toward: str = "both"

    def fault(self, stage: Stage) -> FaultManager:
        """Make the fault."""
        return stage.network.cut_after(self.size, self.who, toward=Toward(self.toward))


class Partition(Lasting, frozen=True, kw_only=True):
    """Let nothing through, in one direction or both; it arrives afterwards.

    Attributes:
        toward: "client", "server" or "both".
    """

    toward: str = "both"

    def fault(self, stage: Stage) -> FaultManager:
        """Make the fault."""
        return stage.network.partition(self.who, toward=Toward(self.toward))


class Refusing(Lasting, frozen=True, kw_only=True):
    """Let dials fail."""

    def fault(self, stage: Stage) -> FaultManager:
        """Make the fault."""
        return stage.network.refusing(self.who)


class Pause(Step, frozen=True, kw_only=True):
    """Stop the process of a client or a node for some seconds: its timers too."""

    who: str
    lasts: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        client = stage.clients.get(self.who)
        process = stage.nodes[self.who].process if client is None else client.process
        if process is not None:
            stage.pause(process, self.who, self.lasts)


class PauseHub(Step, frozen=True, kw_only=True):
    """Stop the hub's process for some seconds."""

    lasts: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.pause_hub(self.lasts)


class ShutDownHub(Step, frozen=True, kw_only=True):
    """Shut the hub down in good order, and start another one.

    Attributes:
        grace: seconds that its clients get.
        down: seconds until the next one listens.
    """

    grace: float
    down: float

    def run(self, stage: Stage) -> None:
        """Do it."""
        if stage.hub.up:
            stage.hub.shut_down(self.grace)
            stage.later(self.down, stage.start_hub)


class CrashHub(Step, frozen=True, kw_only=True):
    """Kill the hub, and start another one.

    Attributes:
        silently: nobody hears of it, as in a power cut.
        down: seconds until the next one listens.
    """

    down: float
    silently: bool = False

    def run(self, stage: Stage) -> None:
        """Do it."""
        if stage.hub.up:
            stage.hub.crash(silently=self.silently)
            stage.later(self.down, stage.start_hub)


class ForceClose(Step, frozen=True, kw_only=True):
    """Have the hub close a client's connections with a code."""

    who: str
    code: int

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.hub.force_close(self.who, self.code)


class RefuseConnect(Step, frozen=True, kw_only=True):
    """Have the hub answer a client's next connects with a code."""

    who: str
    code: int
    times: int = 1

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.hub.refuse(self.who, self.code, self.times)


class ChangeMood(Step, frozen=True, kw_only=True):
    """Let a token provider behave otherwise."""

    who: str
    mood: TokenMood

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.clients[self.who].mood = self.mood
