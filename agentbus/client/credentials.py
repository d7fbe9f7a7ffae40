"""The one object that holds a secret: the key or the token of an attempt.

Everything else holds a `Credential`, which shows nothing: not when printed, not as a local in a traceback,
not when pickled. It alone builds the request target that carries the secret, and wraps it for the wire.
"""

from __future__ import annotations

import hmac
from typing import NoReturn
from urllib.parse import quote

from agentbus.protocol.url import Origin
from agentbus.wire.transport import Target

ENDPOINT = "/v1"
HIDDEN = "<hidden>"


class Credential:
    """A publishable key or a token."""

    __slots__ = ("_kind", "_text")

    def __init__(self, kind: str, text: str) -> None:
        self._kind = kind
        self._text = text

    @classmethod
    def key(cls, text: str) -> Credential:
        """Wrap a publishable key."""
        return cls("key", text)

    @classmethod
    def token(cls, text: str) -> Credential:
        """Wrap a JWT."""
        return cls("token", text)

    def hand_over(self) -> tuple[str, str]:
        """Give kind and text: for a child process of ours, through a socket that nobody else holds."""
        return self._kind, self._text

    def target(self, origin: Origin) -> Target:
        """Say where to connect and what to ask for there. Spec section 1."""
        return Target(origin, f"{ENDPOINT}?{self._kind}={self._escaped()}")

    def redact(self, text: str) -> str:
        """Take the secret out of a text that a stranger wrote, who may have seen the URL."""
        for secret in (self._text, self._escaped()):
            text = text.replace(secret, HIDDEN)
        return text

    def _escaped(self) -> str:
        # A lone surrogate has no UTF-8; the hub refuses what comes out, and no error repeats the text.
        return quote(self._text, safe="", errors="replace")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credential):
            return NotImplemented
        mine, theirs = (f"{one._kind} {one._escaped()}".encode() for one in (self, other))
        return hmac.compare_digest(mine, theirs)

    def __hash__(self) -> int:
        return hash((self._kind, self._text))

    def __repr__(self) -> str:
        return f"<{self._kind}: hidden>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a credential is not pickled: it would carry its secret along")
