"""Rendezvous hashing: all pick the same member for a key, and a member that goes moves only its keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import TypeVar

Member = TypeVar("Member")


def rendezvous(key: str, members: Iterable[Member], name: Callable[[Member], str]) -> Member | None:
    """Pick the member that bids most for a key; None if there is none.

    Args:
        key: what is to be placed, of any length.
        members: in any order.
        name: gives what tells a member from the others, the same in every process.
    """
    seed = blake2b(_bytes(key), digest_size=32).digest()

    def bid(member: Member) -> tuple[bytes, bytes]:
        label = _bytes(name(member))
        return blake2b(label, digest_size=8, key=seed).digest(), label

    return max(members, key=bid, default=None)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
