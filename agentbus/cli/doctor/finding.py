"""What one step of the examination found."""

from __future__ import annotations

from msgspec import Struct


class Finding(Struct, frozen=True):
    """One step.

    Attributes:
        step: "name", "tcp", "tls", "http", "credential", "clock", "proxy" or "token".
        ok: whether the way goes on from here; a remark that stops nothing is ok, too. None: it was not tried.
        fact: what was seen. It may hold text from a server.
        advice: what to do about it, if something is wrong.
    """

    step: str
    ok: bool | None
    fact: str
    advice: str | None = None


def not_tried(step: str, failed: str) -> Finding:
    """Say that a step was left out because an earlier one failed."""
    return Finding(step, ok=None, fact=f"not tried, because of {failed}")
