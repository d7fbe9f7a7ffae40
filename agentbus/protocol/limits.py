"""What a hub announces of its limits, the extension `limits.v1`. Spec section 9."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

LIMITS_EXTENSION = "limits.v1"

_Rate = Annotated[float, Meta(ge=0)]
_Count = Annotated[int, Meta(ge=0)]


class ConnectionLimits(Struct, frozen=True, rename="camel"):
    """`welcome.limits`: what a client keeps to, so that it is never closed for its rate.

    Attributes:
        messages_per_second: sustained inbound frames of this connection; 0 means that there is no rate.
        message_burst: frames at once after a rest.
        channels_per_connection: subscriptions of this connection.
        max_connections: concurrent connections of the whole app.
    """

    messages_per_second: _Rate
    message_burst: _Count
    channels_per_connection: _Count
    max_connections: _Count
