"""All that leaves one node: which frame is next, and when. Pure.

First what the directory says, then links with control traffic, then the other links in turn, one frame each.
The pacer gives the tokens. Receipts alone get a frame only while tokens are plentiful; otherwise they wait
for their ack's time, or for something to travel with.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from agentbus.agents.agenda import Agenda
from agentbus.agents.directory import DirectoryMessage
from agentbus.agents.envelope import Stamp
from agentbus.agents.link import Link, Want
from agentbus.agents.link_sender import Settled
from agentbus.errors import MailboxFullError
from agentbus.protocol.pacer import Pacer

_encode = msgspec.json.Encoder().encode


class Outgoing(msgspec.Struct, frozen=True):
    """One frame to send now.

    Attributes:
        data: the JSON of the frame's `data`.
        peer: to whom; None for all nodes of the namespace, or for all who listen to `channel`.
        link: the link that it belongs to; None for the directory's, and for broadcasts.
        channel: of a broadcast; None for what concerns nodes.
        token: what was given with it.
        begins: it is the first, or only, frame of a broadcast.
    """

    data: bytes
    peer: str | None
    link: Link | None = None
    channel: str | None = None
    token: Any = None
    begins: bool = False


class Traffic:
    """The links of a node, what the directory has to say, and the order of both.

    Args:
        pacer: see `Pacer`.
        route: gives the peer at which a node can be reached now, or None while it can't.
        room: bytes that a frame's data may take.
        max_control: directory messages that wait at most; beyond it the oldest is dropped and counted.
        max_casts: broadcasts that wait at most.
    """

    def __init__(
        self,
        pacer: Pacer,
        route: Callable[[Stamp], str | None],
        room: int,
        max_control: int = 10_000,
        max_casts: int = 1000,
    ) -> None:
        self.pacer = pacer
        self.room = room
        self.dropped = 0
        self._route = route
        self._links: dict[Stamp, Link] = {}
        self._ready: OrderedDict[Stamp, None] = OrderedDict()
        self._timers: Agenda[Stamp] = Agenda()
        self._touched: dict[Link, None] = {}
        self._to_settle: dict[Link, None] = {}
        self._control: deque[tuple[DirectoryMessage, str | None, Any]] = deque()
        self._max_control = max_control
        self._casts: deque[Outgoing] = deque()
        self._max_casts = max_casts
        self._casts_waiting = 0
        self._online = False

    # -- links -----------------------------------------------------------------------------------------------

    def link(self, stamp: Stamp) -> Link | None:
        """Give the link to a life of a node."""
        return self._links.get(stamp)

    def links(self) -> list[Link]:
        """Give all links, oldest first."""
        return list(self._links.values())

    def add(self, link: Link) -> None:
        """Serve one more link."""
        self._links[link.there] = link
        self.touch(link)

    def remove(self, stamp: Stamp) -> Link | None:
        """Serve a link no more."""
        self._ready.pop(stamp, None)
        self._timers.set(stamp, None)
        return self._links.pop(stamp, None)

    def touch(self, link: Link) -> None:
        """Note that something happened on a link: it may have a frame to send, or another deadline.

        What that is shows once per flush, however many envelopes of a turn have touched it.
        """
        self._touched[link] = None

    def _look(self, now: float) -> None:
        """Find out what the links that were touched have to send, and when."""
        touched, self._touched = self._touched, {}
        for link in touched:
            self._to_settle[link] = None
            if self._links.get(link.there) is link:
                self._look_at(link, now)

    def _look_at(self, link: Link, now: float) -> None:
        reachable = self._online and self._route(link.there) is not None
        if reachable and link.wants(now) is not Want.NOTHING:
            self._ready[link.there] = None
        at = link.next_deadline(reachable=reachable)
        self._timers.set(link.there, None if at is None or (at <= now and link.there in self._ready) else at)

    def rewind(self, link: Link, now: float) -> None:
        """Have a link send again what got no ack: frames may be lost."""
        link.rewind(now)
        self.touch(link)

    # -- the connection --------------------------------------------------------------------------------------

    def say(self, message: DirectoryMessage, peer: str | None, token: Any = None) -> None:
        """Queue a message of the directory, to one peer or to all; the token comes back with its frame."""
        if len(self._control) >= self._max_control:
            self._control.popleft()
            self.dropped += 1
        self._control.append((message, peer, token))

    def cast(self, frames: Mapping[str, bytes], tokens: Sequence[Any]) -> None:
        """Queue a broadcast; it waits for a connection.

        Args:
            frames: its data by channel.
            tokens: one for each frame.

        Raises:
            MailboxFullError: too many broadcasts wait.
        """
        if self._casts_waiting >= self._max_casts:
            raise MailboxFullError(self._max_casts)
        first = True
        for (channel, data), token in zip(frames.items(), tokens, strict=True):
            self._casts.append(Outgoing(data, None, channel=channel, token=token, begins=first))
            first = False
        self._casts_waiting += 1

    def take_casts(self) -> list[Outgoing]:
        """Give back the broadcasts that have not left."""
        casts = list(self._casts)
        self._casts.clear()
        self._casts_waiting = 0
        return casts

    def online(self, now: float) -> None:
        """Begin on a new connection: what got no ack is sent again."""
        self._online = True
        for link in self._links.values():
            self.rewind(link, now)

    def offline(self) -> None:
        """Hold everything back. What the directory had to say is void: it will introduce itself anew."""
        self._online = False
        self._control.clear()
        self._ready.clear()
        for link in self._links.values():
            self.touch(link)

    # -- out -------------------------------------------------------------------------------------------------

    def frames(self, now: float) -> Iterator[Outgoing]:
        """Give the frames that may leave now. Deadlines that have come are served first."""
        self._look(now)
        for stamp in self._timers.pop_due(now):
            link = self._links[stamp]
            link.tick(now, reachable=self._online and self._route(stamp) is not None)
            self.touch(link)
        self._look(now)
        if not self._online:
            return
        while self._control and self.pacer.take(now, urgent=True):
            message, peer, token = self._control.popleft()
            yield Outgoing(_encode(message), peer, token=token)
        while self._casts and self.pacer.take(now):
            cast = self._casts.popleft()
            self._casts_waiting -= cast.begins
            yield cast
        yield from self._link_frames(now)

    def _link_frames(self, now: float) -> Iterator[Outgoing]:
        """Go round the links until none has a frame that it may send."""
        moved = True
        while moved:
            moved = False
            for stamp in list(self._ready):
                frame = self._link_frame(stamp, now)
                if frame is not None:
                    moved = True
                    yield frame

    def _link_frame(self, stamp: Stamp, now: float) -> Outgoing | None:
        link = self._links[stamp]
        peer = self._route(stamp)
        want = link.wants(now)
        if peer is None or want is Want.NOTHING or (want is Want.RECEIPTS and not self.pacer.plentiful(now)):
            del self._ready[stamp]
            self._timers.set(stamp, link.next_deadline(reachable=peer is not None))
            return None
        if not self.pacer.take(now, urgent=want is Want.CONTROL):
            return None
        packet = link.take(self.room, now)
        self._ready.move_to_end(stamp)
        self._to_settle[link] = None
        return None if packet is None else Outgoing(_encode(packet), peer, link)

    def next_deadline(self, now: float) -> float | None:
        """When `frames` may have something next; None if only input can change anything."""
        self._look(now)
        times = [self._timers.next()]
        if self._online and self._control:
            times.append(self.pacer.ready_at(now, urgent=True))
        elif self._online and self._casts and not self._ready:
            times.append(self.pacer.ready_at(now))
        elif self._online and self._ready:
            urgent = any(self._links[stamp].wants(now) is Want.CONTROL for stamp in self._ready)
            times.append(self.pacer.ready_at(now, urgent=urgent))
        return min((time for time in times if time is not None), default=None)

    def settled(self) -> Iterator[Settled]:
        """Give the fates that became known on all links since the last call."""
        links = {**self._to_settle, **self._touched}
        self._to_settle.clear()
        for link in links:
            if self._links.get(link.there) is link:
                yield from link.take_settled()
