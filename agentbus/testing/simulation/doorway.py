"""The doors of a simulated process: the network's calls get in when the process runs, and in order."""

from __future__ import annotations

from agentbus.testing.simulation.process import ProcessLoop
from agentbus.wire import Reject, ServerConnection, ServerHandler, TransportHandler, UpgradeRequest


class ClientDoorway:
    """A `TransportHandler` in front of a client's.

    Args:
        handler: the client's.
        process: where it lives.
    """

    def __init__(self, handler: TransportHandler, process: ProcessLoop) -> None:
        self._handler = handler
        self._perform = process.perform

    def on_open(self) -> None:
        """Pass it in."""
        self._perform(self._handler.on_open)

    def on_text(self, payload: bytes, /) -> None:
        """Pass it in."""
        self._perform(self._handler.on_text, payload)

    def on_binary(self, size: int, /) -> None:
        """Pass it in."""
        self._perform(self._handler.on_binary, size)

    def on_activity(self) -> None:
        """Pass it in."""
        self._perform(self._handler.on_activity)

    def on_closed(
        self, code: int, reason: str, http_status: int | None, retry_after: float | None, /
    ) -> None:
        """Pass it in."""
        self._perform(self._handler.on_closed, code, reason, http_status, retry_after)

    def on_pause_writing(self) -> None:
        """Pass it in."""
        self._perform(self._handler.on_pause_writing)

    def on_resume_writing(self) -> None:
        """Pass it in."""
        self._perform(self._handler.on_resume_writing)


class HubDoorway:
    """A `ServerHandler` in front of a hub's.

    Args:
        handler: the hub's.
        process: where it lives.
    """

    def __init__(self, handler: ServerHandler, process: ProcessLoop) -> None:
        self._handler = handler
        self._process = process
        self._perform = process.perform

    def on_request(self, request: UpgradeRequest, /) -> Reject | None:
        """Have it answered; a process that stands still hears of no request, for the network holds it."""
        with self._process.current():
            return self._handler.on_request(request)

    def on_open(self, connection: ServerConnection, /) -> None:
        """Pass it in."""
        self._perform(self._handler.on_open, connection)

    def on_text(self, payload: bytes, /) -> None:
        """Pass it in."""
        self._perform(self._handler.on_text, payload)

    def on_binary(self, size: int, /) -> None:
        """Pass it in."""
        self._perform(self._handler.on_binary, size)

    def on_activity(self) -> None:
        """Pass it in."""
        self._perform(self._handler.on_activity)

    def on_closed(self, code: int, reason: str, /) -> None:
        """Pass it in."""
        self._perform(self._handler.on_closed, code, reason)
