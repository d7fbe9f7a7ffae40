"""The reporter: what the fleet does, as it happens, for the person who watches."""

from __future__ import annotations

from agentbus.agents import AgentActor, Message, handles
from agentbus.cli.progress import Progress


class Reporter(AgentActor):
    """Print what it is told, one thing at a time.

    Owns:  the progress display.
    Told:  Happened, Advanced (by the coordinator).

    Args:
        progress: where it shows.
    """

    class Happened(Message):
        """Somebody decided something, or something broke."""

        what: str

    class Advanced(Message):
        """So many files have their answer, and this is what is being done."""

        done: int
        doing: str = ""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @handles
    def happened(self, message: Reporter.Happened) -> None:
        """Print a line."""
        self._progress.line(message.what)

    @handles
    def advanced(self, message: Reporter.Advanced) -> None:
        """Move the bar."""
        self._progress.update(message.done, message.doing)

    def on_stop(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()
