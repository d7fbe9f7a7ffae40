"""One accepted connection, as the core sees it."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from agentbus.protocol import PresencePeer

if TYPE_CHECKING:
    from agentbus.hub.core.access import Grant
    from agentbus.hub.core.app import App
    from agentbus.hub.core.channel import Channel
    from agentbus.hub.core.config import Key
    from agentbus.hub.core.followers import Followers
    from agentbus.hub.core.limits import Strikes, TokenBucket
    from agentbus.hub.core.stored import Author

TOKEN_OF = "peer "  # noqa: S105 -- how the identity of a token begins, and no publishable key


class Session:
    """One connection.

    Attributes:
        app: the app that its credential belongs to.
        peer: its peer id and the metadata that others see.
        grant: what its credential permits.
        identity: its credential, over all connections: the key, or the peer that its tokens name.
        author: whose messages it publishes, in histories; None before the first.
        behind: the histories that it follows and has not caught up with; None before the first.
        close_at: Unix seconds at which it is closed with 4002; infinity for a key.
        bucket: its message rate, or None where the rate is off.
        strikes: its malformed frames; None before the first one.
        subscriptions: channels by name.
        open: False once the core has closed or forgotten it; commands name it no more.
        key: what let it in, as it was configured then; None for one that was turned away.
        max_frame_bytes: a larger text frame is closed with 1009; as told in its `welcome`.
        handle: for the shell, which keeps its connection here; the core never looks at it.
    """

    __slots__ = (
        "app",
        "author",
        "behind",
        "bucket",
        "close_at",
        "grant",
        "handle",
        "identity",
        "key",
        "max_frame_bytes",
        "open",
        "peer",
        "strikes",
        "subscriptions",
    )

    def __init__(self, app: App, peer: PresencePeer, grant: Grant, identity: str = "") -> None:
        self.app = app
        self.peer = peer
        self.grant = grant
        self.identity = identity
        self.author: Author | None = None
        self.behind: dict[Followers, None] | None = None
        self.close_at = inf
        self.bucket: TokenBucket | None = None
        self.strikes: Strikes | None = None
        self.subscriptions: dict[str, Channel] = {}
        self.open = True
        self.key: Key | None = None
        self.max_frame_bytes = 0
        self.handle: Any = None

    @property
    def peer_id(self) -> str:
        """The peer that this connection belongs to; a peer may have several."""
        return self.peer.peer_id

    def __repr__(self) -> str:
        state = "open" if self.open else "closed"
        return f"<Session {self.peer.peer_id!r} of app {self.app.id!r}, {state}>"
