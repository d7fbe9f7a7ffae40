"""What both ends of a socket share: WebSocket over a transport, its fast path, coalesced writes, the pipe.

A client dials with `dial` (sockets, TLS, proxies) or `memory_dialler` (none of those) and is told through a
`TransportHandler`; a hub gives each accepted transport a `ServerConnection`. Nothing here knows what a text
message means, and nothing here shows or logs a credential.
"""

from __future__ import annotations

from agentbus.wire.client import ClientConnection, ClientOptions, MaskKeys, secure_mask_keys
from agentbus.wire.dial import default_ssl_context, dial
from agentbus.wire.engine import Engine
from agentbus.wire.framing import frame_text
from agentbus.wire.general import MUTED
from agentbus.wire.head import MAX_HEAD_BYTES, Reject
from agentbus.wire.memory import MemoryListener, memory_dialler
from agentbus.wire.pipe import PipeTransport, Stream, connect_in_memory
from agentbus.wire.server import ServerConnection, ServerHandler, ServerOptions, UpgradeRequest
from agentbus.wire.transport import (
    ABNORMAL,
    MAX_INBOUND_BYTES,
    Target,
    Transport,
    TransportFactory,
    TransportHandler,
)
from agentbus.wire.writer import Flusher

__all__ = [
    "ABNORMAL",
    "MAX_HEAD_BYTES",
    "MAX_INBOUND_BYTES",
    "MUTED",
    "ClientConnection",
    "ClientOptions",
    "Engine",
    "Flusher",
    "MaskKeys",
    "MemoryListener",
    "PipeTransport",
    "Reject",
    "ServerConnection",
    "ServerHandler",
    "ServerOptions",
    "Stream",
    "Target",
    "Transport",
    "TransportFactory",
    "TransportHandler",
    "UpgradeRequest",
    "connect_in_memory",
    "default_ssl_context",
    "dial",
    "frame_text",
    "memory_dialler",
    "secure_mask_keys",
]
