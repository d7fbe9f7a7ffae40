"""What happens to nodes and between them: the steps of a plan with buses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agentbus.testing.simulation.plan import Step

if TYPE_CHECKING:
    from agentbus.testing.simulation.bus.nodes import NodeLife
    from agentbus.testing.simulation.stage import Stage


class NodeStep(Step, frozen=True, kw_only=True, tag=True):
    """Something that concerns one node.

    Attributes:
        who: its name.
    """

    who: str


class StartNode(NodeStep, frozen=True, kw_only=True):
    """Start a node, unless it lives."""

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.nodes[self.who].start()


class CloseNode(NodeStep, frozen=True, kw_only=True):
    """Close a node's bus in good order."""

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.nodes[self.who].with_life(lambda life: life.close())


class KillNode(NodeStep, frozen=True, kw_only=True):
    """Kill a node's process, and start another one.

    Attributes:
        down: seconds until then.
        silently: nobody hears of it, as in a power cut.
    """

    down: float
    silently: bool = False

    def run(self, stage: Stage) -> None:
        """Do it."""
        node = stage.nodes[self.who]
        node.with_life(lambda life: life.kill(silently=self.silently))
        stage.later(self.down, node.start)


class TokensLast(Step, frozen=True, kw_only=True):
    """Let tokens of nodes expire sooner or later.

    Attributes:
        lifetime: seconds.
    """

    lifetime: int

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.token_lifetime = self.lifetime


class SendLetters(NodeStep, frozen=True, kw_only=True):
    """Send letters to an agent.

    Attributes:
        to: its node.
        agent: its name there; it may not exist.
        ask: whether for a reply.
        count: how many.
        timeout: seconds that each has.
        takes: seconds that each takes the agent.
        fails: whether its handler raises.
        forward: a node whose worker is asked on the way.
        size: bytes of padding.
        cancel_after: seconds after which the sender of an ask gives it up.
    """

    to: str
    agent: str = "worker"
    ask: bool = False
    count: int = 1
    timeout: float | None = None
    takes: float = 0.0
    fails: bool = False
    forward: str | None = None
    size: int = 0
    cancel_after: float | None = None

    def run(self, stage: Stage) -> None:
        """Do it."""
        job: dict[str, Any] = {"takes": self.takes, "fails": self.fails, "pad": "x" * self.size}
        if self.forward is not None:
            job["forward"] = f"{self.forward}/worker"
        for _ in range(self.count):
            stage.nodes[self.who].with_life(lambda life: self._send(life, job))

    def _send(self, life: NodeLife, job: dict[str, Any]) -> None:
        life.send(
            f"{self.to}/{self.agent}",
            ask=self.ask,
            job=job,
            timeout=self.timeout,
            cancel_after=self.cancel_after,
        )
