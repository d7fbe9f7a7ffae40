"""The links of a node: made when first needed, closed when a life at either end is over. On the I/O loop.

What never left for a life that another one replaces waits here for that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from agentbus.agents.calls import Ask
from agentbus.agents.envelope import Envelope, Stamp, decode_envelope
from agentbus.agents.link import Link
from agentbus.agents.link_queue import LinkOptions, Unsent
from agentbus.agents.membership import Membership
from agentbus.agents.open_asks import OpenAsks
from agentbus.agents.outcome import Outcome
from agentbus.agents.parts import AssemblyRoom
from agentbus.agents.traffic import Traffic
from agentbus.errors import MailboxFullError, NoSuchAgentError
from agentbus.runtime import Loop

NeverLeft = Callable[[Stamp, Envelope, str, Exception], object]


class LinkLives:
    """The links of one node, by the lives of others.

    Attributes:
        options: limits and times of the links that are made from now on.
        room: what the unfinished bodies of all nodes share.
        guest_room: what those of all guests share.
        lives: how many lives of this node are over.

    Args:
        membership: who is where.
        traffic: where links are served.
        asks: what has no reply yet.
        never_left: told of each envelope that waited for a life that is over.
        options: see above.
        loop: the I/O loop.
    """

    def __init__(
        self,
        membership: Membership,
        traffic: Traffic,
        asks: OpenAsks,
        never_left: NeverLeft,
        options: LinkOptions,
        loop: Loop,
    ) -> None:
        self._membership = membership
        self._traffic = traffic
        self._asks = asks
        self._never_left = never_left
        self.options = options
        self.room = AssemblyRoom(options.max_assembly_bytes)
        self.guest_room = AssemblyRoom(options.max_guest_assembly_bytes)
        self.lives = 0
        self._now = loop.clock.monotonic
        self._orphans: dict[str, list[Unsent]] = {}

    def link_to(self, stamp: Stamp, *, guest: bool = False) -> Link:
        """Give the link to a life, made now if there is none."""
        link = self._traffic.link(stamp)
        if link is None:
            options, room = self.options, self.room
            if guest:
                cap = min(options.max_guest_body_bytes, options.max_body_bytes)
                options = msgspec.structs.replace(options, max_body_bytes=cap)
                room = self.guest_room
            link = Link(self._membership.stamp, stamp, options, self._now(), room)
            self._traffic.add(link)
        return link

    @property
    def orphans(self) -> int:
        """Count the envelopes that wait for another life of the node they were sent to."""
        return sum(map(len, self._orphans.values()))

    # -- lives begin and end ---------------------------------------------------------------------------------

    def begin(self, stamp: Stamp) -> None:
        """Send to a new life what never left for the one before."""
        self._post_again(stamp, self._orphans.pop(stamp.node, []))

    def end(self, stamp: Stamp, *, replaced: bool) -> None:
        """End the link to a life that is over; what never left waits for the next life, or fails."""
        unsent = self.close(stamp)
        self._asks.life_over(stamp, unsent)
        if not replaced:
            self._fail(stamp, unsent, "no_such_agent", NoSuchAgentError(stamp.node))
        elif unsent:
            self._orphans.setdefault(stamp.node, []).extend(unsent)

    def begin_own(self) -> None:
        """Begin all links anew, after this node was declared dead: what left before is unknown."""
        self.lives += 1
        for link in self._traffic.links():
            unsent = self.close(link.there)
            self._asks.life_over(link.there, unsent)
            if self._membership.nodes.living(link.there) is not None:
                self._post_again(link.there, unsent)
            else:
                gone = NoSuchAgentError(link.there.node)
                self._fail(link.there, unsent, "no_such_agent", gone)

    def close(self, stamp: Stamp) -> list[Unsent]:
        """Remove a link; give what never left and is waited for."""
        link = self._traffic.remove(stamp)
        if link is None:
            return []
        unsent = [each for each in link.close() if each.token is not None]
        for settled in link.take_settled():
            settled.token.settle(settled.outcome)
        return unsent

    def close_all(self, error: Exception) -> None:
        """Remove all links, and tell who waits for what never left."""
        for link in self._traffic.links():
            self._fail(link.there, self.close(link.there), "closed", error)
        for node in list(self._orphans):
            self._fail_orphans(node, "closed", error)

    def look_for_orphans(self) -> None:
        """Fail what waits for a node that is known no more: its new life was not let in."""
        for node in [node for node in self._orphans if self._membership.nodes.get(node) is None]:
            self._fail_orphans(node, "no_such_agent", NoSuchAgentError(node))

    def _fail_orphans(self, node: str, reason: str, error: Exception) -> None:
        self._fail(Stamp(node, ""), self._orphans.pop(node), reason, error)

    def _fail(self, stamp: Stamp, unsent: list[Unsent], reason: str, error: Exception) -> None:
        for each in unsent:
            self._never_left(stamp, decode_envelope(each.envelope), reason, error)
            each.token.fail(error, Outcome.DEAD_LETTERED)

    def _post_again(self, stamp: Stamp, unsent: Iterable[Unsent]) -> None:
        link = self.link_to(stamp)
        for each in unsent:
            if each.token.over:
                each.token.withdrawn()  # its sender gave up meanwhile
                continue
            try:
                place = link.post(
                    bytes(each.envelope), deadline=each.deadline, token=each.token, agent=each.agent
                )
            except MailboxFullError as error:  # several queues become one
                self._fail(stamp, [each], "mailbox_full", error)
            else:
                if isinstance(each.token, Ask):
                    each.token.stamp, each.token.place = stamp, place
        self._traffic.touch(link)
