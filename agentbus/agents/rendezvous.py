"""Rendezvous hashing: all pick the same member for a key, and a member that goes moves only its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TypeVar

Member = TypeVar("Member")


def weight(key: str, member: str) -> bytes:
    """Give what a member bids for a key; the same in every process."""
    return blake2b(member.encode("utf-8", "surrogatepass"), digest_size=8, key=_short(key)).digest()


def rendezvous(key: str, members: Iterable[Member], name: Callable[[Member], str]) -> Member | None:
    """Pick the member that bids most for a key; None if there is none.

    Args:
        key: what is to be placed.
        members: in any order.
        name: gives what tells a member from the others.
    """
    return max(members, key=lambda member: (weight(key, name(member)), name(member)), default=None)


def _short(key: str) -> bytes:
    """Fit a key of any length into the hash function's key."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=32).digest()
