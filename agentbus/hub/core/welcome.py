"""The hub's side of `welcome`: metadata as the token's author wrote it, and the true limits."""

from __future__ import annotations

import msgspec

from agentbus.hub.core.admission import Admission
from agentbus.hub.core.config import HubConfig
from agentbus.hub.core.equipment import offered
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.session import Session
from agentbus.protocol.extensions import DedupeTerms
from agentbus.protocol.frames import Frame
from agentbus.protocol.limits import LIMITS_EXTENSION, ConnectionLimits

_encode = msgspec.json.Encoder().encode


class _Welcome(Frame, frozen=True, tag="welcome"):
    peer_id: str
    expires_at: int | None
    server_time: int
    max_message_size: int
    metadata: msgspec.Raw | None = None
    extensions: tuple[str, ...] = ()
    limits: ConnectionLimits | None = None
    dedupe: DedupeTerms | None = None


def encode_welcome(
    config: HubConfig, session: Session, admission: Admission, now: Instant, life: str
) -> bytes:
    """Encode the first frame of an accepted connection. Spec section 3."""
    app = session.app
    return _encode(
        _Welcome(
            peer_id=session.peer_id,
            expires_at=None if admission.expires_at is None else int(admission.expires_at),
            server_time=int(now.wall),
            max_message_size=config.limits.max_message_size,
            metadata=admission.metadata,
            extensions=offered(app, config),
            dedupe=None if app.dedupe is None else DedupeTerms(life, config.dedupe.window),
            limits=_true_limits(config, session) if LIMITS_EXTENSION in config.extensions else None,
        )
    )


def _true_limits(config: HubConfig, session: Session) -> ConnectionLimits:
    return ConnectionLimits(
        messages_per_second=config.limits.messages_per_second,
        message_burst=config.limits.message_burst,
        channels_per_connection=config.limits.channels_per_connection,
        max_connections=session.app.config.max_connections,
    )
