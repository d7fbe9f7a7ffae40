"""What carries packets between hubs. It knows neither what they mean nor who is alive."""

from __future__ import annotations

from typing import Protocol


class BackplaneHandler(Protocol):
    """The hub's side; all calls come on the hub's loop."""

    def on_open(self) -> None:
        """Hear that the backplane carries, from the first time on and after each outage."""

    def on_packet(self, payload: bytes, /) -> None:
        """Take one packet. Those of one sender come in its order; some may be missing, none comes twice."""

    def on_lost(self) -> None:
        """Hear that the backplane is away, or could not keep what it was given; `on_open` follows."""


class Backplane(Protocol):
    """One hub's way to the others."""

    async def start(self, life: str, handler: BackplaneHandler) -> None:
        """Begin to carry; return when it does, or after a while anyhow: it goes on trying.

        Args:
            life: the hub's address: letters, digits and dashes.
            handler: who is told.

        Raises:
            HubConfigError: it will never carry, as with a wrong password.
        """

    def send(self, to: str | None, payload: bytes) -> None:
        """Carry a packet to the hub of that life, or to all (None), the sender included. Never waits."""

    async def stop(self) -> None:
        """Carry what it was given, if that is soon done, and end."""
