"""What the programs in a simulated world do with their clients: the steps of a plan that are calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agentbus.testing.simulation.plan import Step

if TYPE_CHECKING:
    from agentbus.runtime import Future
    from agentbus.testing.simulation.stage import Stage


class Operation(Step, frozen=True, kw_only=True, tag=True):
    """A call of one client.

    Attributes:
        who: its name.
    """

    who: str


class Connect(Operation, frozen=True, kw_only=True):
    """Connect, or connect again."""

    def run(self, stage: Stage) -> None:
        """Do it."""
        client = stage.clients[self.who]
        client.call("connect", "", client.client.connect)


class Close(Operation, frozen=True, kw_only=True):
    """Close for now."""

    code: int = 1000

    def run(self, stage: Stage) -> None:
        """Do it."""
        client = stage.clients[self.who]
        client.call("close", "", lambda: client.client.close(self.code))


class CloseOnLoss(Operation, frozen=True, kw_only=True):
    """Close from inside the handler of the next disconnected event."""

    def run(self, stage: Stage) -> None:
        """Do it."""
        stage.clients[self.who].close_on_loss = True


class Subscribe(Operation, frozen=True, kw_only=True):
    """Subscribe to a channel."""

    channel: str
    metadata: bool = False

    def run(self, stage: Stage) -> None:
        """Do it."""
        client = stage.clients[self.who]

        def ask() -> Future[None]:
            return client.client.subscribe(self.channel, include_sender_metadata=self.metadata)

        client.call("subscribe", self.channel, ask)


class Unsubscribe(Operation, frozen=True, kw_only=True):
    """Give a channel up."""

    channel: str

    def run(self, stage: Stage) -> None:
        """Do it."""
        client = stage.clients[self.who]
        client.call("unsubscribe", self.channel, lambda: client.client.unsubscribe(self.channel))


class Publish(Operation, frozen=True, kw_only=True):
    """Publish a number of messages in one go, each padded to a size in bytes."""

    channel: str
    count: int = 1
    size: int = 0

    def run(self, stage: Stage) -> None:
        """Do it."""
        for _ in range(self.count):
            stage.clients[self.who].publish(self.channel, self.size)


class Send(Operation, frozen=True, kw_only=True):
    """Send a number of messages to another client, under the peer id that it has at that moment."""

    to: str
    count: int = 1
    size: int = 0

    def run(self, stage: Stage) -> None:
        """Do it."""
        for _ in range(self.count):
            stage.clients[self.who].send(stage.clients[self.to], self.size)
