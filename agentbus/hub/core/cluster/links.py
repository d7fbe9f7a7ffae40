"""Which other hubs there are, and whether this one is among them. No hub is in charge, and nobody is asked.

Every hub says `Beat` to everyone, once a second. Who hears a new one begins a link to it, which makes it
known in turn. A hub that is not heard of for the lease is gone, and with it exactly what it had told. A hub
hears its own beats too: when it does not, it is the backplane that is away, whatever the transport believes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from agentbus.hub.core.cluster.link import Link
from agentbus.hub.core.cluster.messages import AnyMessage, Batch, Beat, Bye, Restart, Seat, encode_packet

MAX_HUBS = 256
"""Other hubs that are listened to; further ones are ignored and counted."""


MAX_DEPARTED = 256
"""Hubs that said goodbye and are remembered: what of theirs comes late brings them back no more."""


class ClusterTimes(msgspec.Struct, frozen=True, kw_only=True):
    """How long hubs wait for one another, in seconds.

    Attributes:
        beat: between two beats, and between two looks at who is gone.
        lease: since a hub was heard of, until its peers leave.
        echo: since this hub heard itself, until the backplane counts as away.
        answer: since a question, until it is given up with `backend_error`.
    """

    beat: float = 1.0
    lease: float = 5.0
    echo: float = 3.0
    answer: float = 2.0


class Parcel(msgspec.Struct, frozen=True, gc=False):
    """What the backplane is to carry: to the hub of that life, or to everyone, the sender included."""

    to: str | None
    payload: bytes


class Links:
    """The other hubs.

    Args:
        life: names this run of this hub, and no other run of any hub.
        times: see there.
        seats: gives all seats of this hub.
        on_waiting: told when there is something to `take`, once until it is taken.

    Attributes:
        reachable: whether the backplane carries.
        gaps: how often something of another hub was missing.
        ignored: hubs' packets that were ignored because there are too many hubs.
    """

    def __init__(
        self,
        life: str,
        times: ClusterTimes,
        seats: Callable[[], Iterable[Seat]],
        on_waiting: Callable[[], object],
    ) -> None:
        self.reachable = False
        self.gaps = 0
        self.ignored = 0
        self._life = life
        self._times = times
        self._seats = seats
        self._on_waiting = on_waiting
        self._by_life: dict[str, Link] = {}
        self._departed: dict[str, None] = {}
        self._streams = 0
        self._open = False
        self._echoed = float("-inf")
        self._looked = float("-inf")
        self._look_at: float | None = None
        self._calls: list[bytes] = []
        self._woken = False

    # -- what the backplane says -----------------------------------------------------------------------------

    def opened(self, now: float) -> None:
        """Begin to beat."""
        self._open = True
        self._looked, self._look_at = now, now + self._times.beat
        self._beat(now)

    def closed(self) -> None:
        """Stop sending: nothing would arrive."""
        self._open = self.reachable = False
        self._drop_waiting()

    def echo(self, now: float) -> None:
        """Hear an own beat: what is sent arrives. After a time when it did not, everything is told anew."""
        self._echoed = now
        if self.reachable or not self._open:
            return
        self.reachable = True
        for link in self._by_life.values():
            self._begin(link)

    def hear(self, life: str, now: float) -> Link | None:
        """Note a sign of life of another hub; None where it has left, or there are too many."""
        link = self._by_life.get(life)
        if link is None:
            if life in self._departed:
                return None
            if len(self._by_life) >= MAX_HUBS:
                self.ignored += 1
                return None
            link = self._by_life[life] = Link(life, self._life, now)
            if self.reachable:
                self._begin(link)
        link.heard = now
        return link

    def batch(self, batch: Batch, now: float) -> Link | None:
        """Note a batch; return its link if its messages are news."""
        link = self.hear(batch.sender, now)
        if link is None:
            return None
        was_synced = link.synced
        news = link.accept(batch)
        if was_synced and not link.synced and batch.number > 1:
            self.gaps += 1
        if not link.synced and batch.number > 1:
            self._ask_restart(link, now)
        return link if news else None

    # -- links -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._by_life)

    def __iter__(self) -> Iterator[Link]:
        return iter(self._by_life.values())

    @property
    def lives(self) -> set[str]:
        """The other hubs that there are."""
        return set(self._by_life)

    @property
    def synced(self) -> bool:
        """Whether all seats of all hubs are known."""
        return all(link.synced for link in self._by_life.values())

    def get(self, life: str) -> Link | None:
        """Return the link to a hub, if it is there."""
        return self._by_life.get(life)

    def depart(self, life: str) -> Link | None:
        """Forget a hub that said goodbye: this life of it is over."""
        if len(self._departed) >= MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]
        self._departed[life] = None
        return self._by_life.pop(life, None)

    def add(self, life: str, message: AnyMessage) -> bool:
        """Send a message to one hub; False where it can't be reached."""
        link = self._by_life.get(life)
        if link is None or not self.reachable:
            return False
        link.out.waiting.append(message)
        self._wake()
        return True

    def add_all(self, message: AnyMessage) -> None:
        """Send a message to every hub that can be reached."""
        if not self.reachable or not self._by_life:
            return
        for link in self._by_life.values():
            link.out.waiting.append(message)
        self._wake()

    def restart(self, link: Link) -> None:
        """Tell a hub everything anew, as it asks for."""
        if self.reachable:
            self._begin(link)

    def ask_all_again(self, now: float) -> None:
        """Have every hub tell everything anew."""
        for link in self._by_life.values():
            link.asked = float("-inf")
            self._ask_restart(link, now)

    # -- time ------------------------------------------------------------------------------------------------

    def next_look(self) -> float | None:
        """Return when `look` has something to do."""
        return self._look_at

    def look(self, now: float) -> list[Link]:
        """Beat; find out whether the backplane is away; remove the hubs whose lease ran out, and return them.

        A hub that was itself held up has heard nobody and knows nothing: it waits for another lease.
        """
        if self._look_at is None or self._look_at > now:
            return []
        if now - self._looked > 2 * self._times.beat:
            self._excuse(now)
        self._looked, self._look_at = now, now + self._times.beat
        if self.reachable and now - self._echoed > self._times.echo:
            self.reachable = False
            self._drop_waiting()
        if self._open:
            self._beat(now)
        gone = [link for link in self._by_life.values() if now - link.heard > self._times.lease]
        for link in gone:
            del self._by_life[link.life]
        return gone

    def _excuse(self, now: float) -> None:
        self._echoed = max(self._echoed, now - self._times.beat)
        for link in self._by_life.values():
            link.heard = now

    def _beat(self, now: float) -> None:
        self._calls.append(encode_packet(Beat(self._life)))
        for link in self._by_life.values():
            if not link.synced:
                self._ask_restart(link, now)
        self._wake()

    # -- what goes out ---------------------------------------------------------------------------------------

    def farewell(self) -> list[Parcel]:
        """Return what tells the others that this hub stops."""
        self._open = self.reachable = False
        self._look_at = None
        return [Parcel(None, encode_packet(Bye(self._life)))]

    def take(self) -> list[Parcel]:
        """Return what is to be carried, in order."""
        self._woken = False
        calls, self._calls = self._calls, []
        parcels: list[Parcel] = []
        for life, link in self._by_life.items():
            if link.out.waiting:
                parcels += [Parcel(life, packet) for packet in link.out.take()]
            elif calls and self.reachable:
                parcels.append(Parcel(life, link.out.repeat()))
        parcels += [Parcel(None, call) for call in calls]
        return parcels

    def _begin(self, link: Link) -> None:
        self._streams += 1
        link.out.begin(self._streams, self._seats())
        self._wake()

    def _ask_restart(self, link: Link, now: float) -> None:
        if now - link.asked >= self._times.beat and self.reachable:
            link.asked = now
            link.out.waiting.append(Restart())
            self._wake()

    def _drop_waiting(self) -> None:
        self._calls.clear()
        for link in self._by_life.values():
            link.out.waiting.clear()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._on_waiting()
