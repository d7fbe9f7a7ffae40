"""Why a queue does not answer, as far as a bus can know. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import msgspec

MAX_NAMES = 10
"""Names of queues that one explanation lists."""


class Outlook(msgspec.Struct, frozen=True):
    """What a bus sees at a moment.

    Attributes:
        hub: where its hub is; None for one in memory.
        joined: whether it is connected and has joined its namespace.
        guest: whether the others don't trust it, so that it sees their public agents alone.
        namespace: its own.
        queues: names of the queues that are hosted, as far as it is shown them.
    """

    hub: str | None
    joined: bool
    guest: bool
    namespace: str
    queues: tuple[str, ...]


def why_silent(queue: str, outlook: Outlook) -> str:
    """Say why a queue does not answer, and what to do about it."""
    if not outlook.joined:
        return f"there is no connection to the hub {outlook.hub or 'in memory'}"
    if outlook.guest:
        return (
            f"queues are for nodes of namespace {outlook.namespace!r}, and this bus's token is none of one: "
            f"`agentbus token PEER --node --namespace {outlook.namespace}` signs one that is"
        )
    if queue in outlook.queues:
        return "its host does not answer"
    return nobody_hosts(queue, outlook.namespace, outlook.queues)


def nobody_hosts(queue: str, namespace: str, queues: Iterable[str]) -> str:
    """Say that there is no such queue, and which there are, those first whose names are near."""
    there = sorted(queues)
    near = get_close_matches(queue, there, n=1)
    problem = f"nobody hosts a queue {queue!r} in namespace {namespace!r}"
    if near:
        return f"{problem}; is {near[0]!r} meant? There are: {listed(there)}"
    return f"{problem}; there are: {listed(there)}"


def listed(names: Sequence[str]) -> str:
    """Give names in a row, as many as fit."""
    shown = ", ".join(names[:MAX_NAMES]) or "none"
    return f"{shown} and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else shown
