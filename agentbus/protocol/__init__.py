"""The wire protocol, pure: nothing here reads a clock, a socket or chance.

Frames and their codec, close codes with their retry rules, error codes, names and patterns, backoff, URLs.
"""

from __future__ import annotations

from agentbus.protocol.backoff import Chance, ReconnectOptions, retry_delay
from agentbus.protocol.codec import (
    decode_client_frame,
    decode_data,
    decode_object,
    decode_server_frame,
    encode,
    encode_ack,
    encode_data,
    encode_direct,
    encode_message,
    frame_head,
    publish_head,
    request_tail,
    send_head,
)
from agentbus.protocol.codes import CloseCode, ErrorCode, Retry
from agentbus.protocol.extensions import (
    DEDUPE_EXTENSION,
    MAILBOX_CHANNEL,
    RECOVER_EXTENSION,
    DedupeTerms,
    Position,
)
from agentbus.protocol.frames import (
    Ack,
    ClientFrame,
    DirectFrame,
    ErrorFrame,
    GoingAway,
    MessageFrame,
    Ping,
    Pong,
    PresenceFrame,
    PresencePeer,
    Publish,
    Send,
    ServerFrame,
    Subscribe,
    Unsubscribe,
    Welcome,
)
from agentbus.protocol.ice import IceServer, ice_servers
from agentbus.protocol.limits import LIMITS_EXTENSION, ConnectionLimits
from agentbus.protocol.names import check_asserted_peer_id, check_channel, check_peer_id, is_reserved
from agentbus.protocol.patterns import Pattern, compile_pattern, covers
from agentbus.protocol.url import Origin, check_origin

__all__ = [
    "DEDUPE_EXTENSION",
    "LIMITS_EXTENSION",
    "MAILBOX_CHANNEL",
    "RECOVER_EXTENSION",
    "Ack",
    "Chance",
    "ClientFrame",
    "CloseCode",
    "ConnectionLimits",
    "DedupeTerms",
    "DirectFrame",
    "ErrorCode",
    "ErrorFrame",
    "GoingAway",
    "IceServer",
    "MessageFrame",
    "Origin",
    "Pattern",
    "Ping",
    "Pong",
    "Position",
    "PresenceFrame",
    "PresencePeer",
    "Publish",
    "ReconnectOptions",
    "Retry",
    "Send",
    "ServerFrame",
    "Subscribe",
    "Unsubscribe",
    "Welcome",
    "check_asserted_peer_id",
    "check_channel",
    "check_origin",
    "check_peer_id",
    "compile_pattern",
    "covers",
    "decode_client_frame",
    "decode_data",
    "decode_object",
    "decode_server_frame",
    "encode",
    "encode_ack",
    "encode_data",
    "encode_direct",
    "encode_message",
    "frame_head",
    "ice_servers",
    "is_reserved",
    "publish_head",
    "request_tail",
    "retry_delay",
    "send_head",
]
