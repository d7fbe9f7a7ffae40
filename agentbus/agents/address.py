"""Addresses: `namespace/node/agent`, the text that names an agent anywhere, for as long as its node id lives.

Each part is percent-encoded where it holds `/`, `%` or a control character, so that the text has exactly two
slashes. Short forms leave out what the reader's own bus knows: `node/agent` in this namespace, `agent` on
this node.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import msgspec

from agentbus.errors import InvalidNameError
from agentbus.protocol.names import check_channel

# Channels are at most 256 bytes (spec section 2): "agentbus/" + namespace + "/n/" + node must fit.
MAX_PART_BYTES = 100

SHARED_TOPICS = "~/"
"""Topics that begin like this are the channels which many topics share."""

_KINDS = ("namespace", "node", "agent")
_is_plain = re.compile(f"[A-Za-z0-9_.#:+-]{{1,{MAX_PART_BYTES}}}").fullmatch


def _must_escape(character: str) -> bool:
    return character in "/%" or character < " " or "\x7f" <= character <= "\x9f"


def encode_part(part: str, kind: str = "agent") -> str:
    """Percent-encode one part of an address.

    Raises:
        InvalidNameError: the part is empty, is no text, or takes more than 100 bytes when encoded.
    """
    if _is_plain(part):
        return part
    try:
        raw = "".join(
            "".join(f"%{byte:02X}" for byte in character.encode()) if _must_escape(character) else character
            for character in part
        )
        size = len(raw.encode())
    except UnicodeEncodeError:
        raise InvalidNameError(kind, "it holds surrogates, which have no UTF-8 form") from None
    if not 0 < size <= MAX_PART_BYTES:
        raise InvalidNameError(kind, f"it takes {size} bytes; 1 to {MAX_PART_BYTES} are allowed")
    return raw


def decode_part(text: str, kind: str = "agent") -> str:
    """Undo `encode_part`.

    Raises:
        InvalidNameError: the text is no encoded part.
    """
    try:
        part = unquote_to_bytes(text).decode()
    except UnicodeError:
        raise InvalidNameError(kind, "its percent-encoding is no UTF-8") from None
    if encode_part(part, kind) != text:
        raise InvalidNameError(kind, "its percent-encoding is not the canonical one")
    return part


class Address(msgspec.Struct, frozen=True, order=True):
    """Where an agent lives. `str(address)` is the text that `parse_address` reads back.

    Attributes:
        namespace: agents of different namespaces never meet.
        node: the bus that hosts the agent.
        agent: its name on that node.
    """

    namespace: str
    node: str
    agent: str

    def __post_init__(self) -> None:
        """Refuse what has no text form.

        Raises:
            InvalidNameError: a part breaks the rules.
        """
        for kind, part in zip(_KINDS, (self.namespace, self.node, self.agent), strict=True):
            encode_part(part, kind)

    def __str__(self) -> str:
        return "/".join(encode_part(part) for part in (self.namespace, self.node, self.agent))


def parse_address(text: str, *, namespace: str, node: str) -> Address:
    """Read an address or one of its short forms.

    Args:
        text: `agent`, `node/agent` or `namespace/node/agent`, encoded.
        namespace: the reader's own, for the short forms.
        node: the reader's own, for the shortest form.

    Raises:
        InvalidNameError: the text is none of these.
    """
    parts = text.split("/")
    if len(parts) > len(_KINDS):
        raise InvalidNameError("address", f"it has {len(parts)} parts; namespace/node/agent has three")
    kinds = _KINDS[-len(parts) :]
    given = dict(
        zip(kinds, (decode_part(part, kind) for part, kind in zip(parts, kinds, strict=True)), strict=True)
    )
    return Address(**({"namespace": namespace, "node": node} | given))


def directory_channel(namespace: str) -> str:
    """Name the channel on which the nodes of a namespace announce themselves."""
    return f"agentbus/{encode_part(namespace, 'namespace')}/dir"


def inbox_channel(namespace: str, node: str) -> str:
    """Name the channel that stands in for direct messages where the credential lacks `send`."""
    return f"agentbus/{encode_part(namespace, 'namespace')}/n/{encode_part(node, 'node')}"


def topic_channel(namespace: str, topic: str) -> str:
    """Name the channel of a broadcast topic. Slashes stay: a topic may be a path, as channels are."""
    return f"agentbus/{encode_part(namespace, 'namespace')}/t/{topic}"


def check_topic(namespace: str, topic: str) -> None:
    """Refuse a topic whose channel the protocol forbids.

    Raises:
        InvalidNameError: it is empty, too long, reserved, or holds control characters.
    """
    if not topic:
        raise InvalidNameError("topic", "it is empty")
    if topic.startswith(SHARED_TOPICS):
        raise InvalidNameError("topic", f"those that begin with {SHARED_TOPICS!r} are reserved")
    check_channel(topic_channel(namespace, topic))
