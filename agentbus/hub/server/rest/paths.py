"""Which call a method and a path mean. A path is read as it came: `a%2Fb` is one segment, the name `a/b`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from agentbus.hub.core.control import Call, Control
from agentbus.hub.core.control_bodies import Answer, invalid, refuse

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

TARGET: Final = "{}"
"""What stands in a path for the channel or the peer."""


class Operation(Struct, frozen=True):
    """One call of the control plane.

    Attributes:
        name: what logs call it.
        method: of HTTP; a GET may be asked for as HEAD, too.
        path: its segments.
        call: what answers it.
        target: what the path's own segment names: "channel", "peerId" or nothing.
        has_body: whether it reads a body.
    """

    name: str
    method: str
    path: tuple[str, ...]
    call: Call
    target: str = ""
    has_body: bool = False

    @property
    def template(self) -> str:
        """The path as people write it."""
        return "/" + "/".join(self.path).replace(TARGET, f"{{{self.target}}}")

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that reach it."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)


OPERATIONS: Final = (
    Operation("mint_token", "POST", ("v1", "tokens"), Control.mint_token, has_body=True),
    Operation("list_peers", "GET", ("v1", "channels", TARGET, "peers"), Control.list_peers, "channel"),
    Operation(
        "publish", "POST", ("v1", "channels", TARGET, "publish"), Control.publish, "channel", has_body=True
    ),
    Operation("kick", "DELETE", ("v1", "peers", TARGET), Control.kick, "peerId"),
    Operation("usage", "GET", ("v1", "usage"), Control.usage),
)


class Found(Struct, frozen=True):
    """A path that means a call.

    Attributes:
        operation: the call.
        segment: of the path, still encoded, that names the channel or peer.
    """

    operation: Operation
    segment: bytes = b""


class Missed(Struct, frozen=True):
    """A path that means none, or not by this method.

    Attributes:
        answer: what to say; None for an OPTIONS request, to which `allowed` is the answer.
        allowed: the methods that this path knows.
    """

    answer: Answer | None
    allowed: tuple[str, ...] = ()


def find(method: str, raw_path: bytes, operations: Sequence[Operation] = OPERATIONS) -> Found | Missed:
    """Find the call that a request asks for.

    Args:
        method: of HTTP.
        raw_path: the path of the request target as it came, without query.
        operations: what there is.
    """
    segments = raw_path.split(b"/")[1:]
    there = [operation for operation in operations if _fits(operation.path, segments)]
    for operation in there:
        if method in operation.methods:
            return Found(operation, _named(operation.path, segments))
    if not there:
        return Missed(refuse(404, "not_found", "there is no such path; /v1/openapi.json lists them"))
    allowed = (*(name for operation in there for name in operation.methods), "OPTIONS")
    if method == "OPTIONS":
        return Missed(None, allowed)
    return Missed(refuse(405, "method_not_allowed", f"this path takes {', '.join(allowed)}"), allowed)


def decode_segment(segment: bytes) -> str | Answer:
    """Read a name from its segment of a path: percent-encoded UTF-8."""
    if _BAD_ESCAPE.search(segment):
        return invalid("the name in the path has a % that begins no escape: write %25 for it")
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        return invalid("the name in the path is not UTF-8 once decoded")


def _fits(path: tuple[str, ...], segments: Sequence[bytes]) -> bool:
    return len(path) == len(segments) and all(
        ours == TARGET or ours.encode() == theirs for ours, theirs in zip(path, segments, strict=True)
    )


def _named(path: tuple[str, ...], segments: Sequence[bytes]) -> bytes:
    return segments[path.index(TARGET)] if TARGET in path else b""
