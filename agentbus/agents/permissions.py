"""What a credential permits, as the probe at start found it, and what each feature of the bus needs.

| feature | channel | needs |
|---|---|---|
| ask, tell | direct messages | `send`; without it the node's inbox channel, with `publish` and `subscribe` |
| directory, find, watch | `agentbus/<ns>/dir` | `subscribe`, and `publish` or (`send` and `presence`) |
| broadcast | `agentbus/<ns>/t/<topic>`, `agentbus/<ns>/t/~/<n>` | `publish` to send, `subscribe` to listen |

Without `presence` nodes show by beats on the directory channel that they live, which needs `publish`.
"""

from __future__ import annotations

import msgspec

from agentbus.errors import MissingPermission, SignallingServerError

REFUSALS = frozenset({"action_not_permitted", "channel_not_authorized", "channel_reserved"})


def is_refusal(error: BaseException | None) -> bool:
    """Whether an error says that the credential does not permit it, not that it went wrong this time."""
    return isinstance(error, SignallingServerError) and error.code in REFUSALS


class Grants(msgspec.Struct, frozen=True):
    """What the probe found on the channels that the bus uses.

    Attributes:
        subscribe: to the directory channel.
        publish: on the directory channel.
        send: direct messages.
        presence: the directory channel shows who is there.
        inbox: to subscribe to the node's own inbox channel.
    """

    subscribe: bool = False
    publish: bool = False
    send: bool = False
    presence: bool = False
    inbox: bool = False

    def check(self) -> None:
        """Refuse to start a bus that could not work.

        Raises:
            MissingPermission: names the first action that is missing and the feature that needs it.
        """
        if not self.subscribe:
            raise MissingPermission("subscribe", "the directory (find, wait_for, watch)")
        if not self.publish and not self.send:
            raise MissingPermission("publish", "the directory (find, wait_for, watch)")
        if not self.publish and not self.presence:
            raise MissingPermission("presence", "a directory without publish")
        if not self.send and not self.inbox:
            raise MissingPermission("send", "ask and tell")

    def check_broadcast(self) -> None:
        """Refuse a broadcast that could not leave.

        Raises:
            MissingPermission: `publish` is missing.
        """
        if not self.publish:
            raise MissingPermission("publish", "broadcast")
