"""This hub as one of several: what its clients do reaches the others, what others tell reaches its clients.

Pure as the rest of the core. Packets and times go in; commands for this hub's sessions come out of each call,
and what the backplane is to carry waits in `take`, gathered over many calls. One order is kept throughout:
what this hub tells another arrives in the order in which it happened here, seats, messages and answers alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import msgspec

from agentbus.errors import PacketError
from agentbus.hub.core.app import App
from agentbus.hub.core.cluster.link import Link
from agentbus.hub.core.cluster.links import ClusterTimes, Links, Parcel
from agentbus.hub.core.cluster.messages import (
    AnyMessage,
    Beat,
    Begin,
    Bye,
    Counts,
    Deliver,
    Delivered,
    End,
    Kick,
    Publication,
    Restart,
    Seat,
    decode_message,
    decode_packet,
)
from agentbus.hub.core.cluster.sends import Refuse, Sends
from agentbus.hub.core.cluster.tally import Tally
from agentbus.hub.core.commands import Command
from agentbus.hub.core.instant import Instant
from agentbus.hub.core.presence import PresenceSchedule
from agentbus.hub.core.session import Session
from agentbus.hub.core.statistics import Statistics
from agentbus.protocol import PresencePeer
from agentbus.protocol import Send as SendFrame

Kicker = Callable[[str, str, Instant], list[Command]]
Handler = Callable[["Cluster", Link, Any, Instant], list[Command]]


class Home(msgspec.Struct, frozen=True):
    """What a cluster needs of its own hub.

    Attributes:
        apps: by id; the dict is the hub's own, and follows its configuration.
        presence: when deltas go out.
        refuse: answers a request with an error.
        kick: closes a peer's connections at this hub.
        statistics: the hub's.
    """

    apps: dict[str, App]
    presence: PresenceSchedule
    refuse: Refuse
    kick: Kicker
    statistics: Statistics


class Cluster:
    """The other hubs, as far as this one is concerned.

    Args:
        home: of the hub.
        name: of this hub, the same over restarts: its part of the message counts.
        life: names this run of this hub, and no other run of any hub.
        on_waiting: told when there is something to `take`, once until it is taken.
        times: how long hubs wait for one another.

    Attributes:
        links: the other hubs.
        unreadable: packets and messages that this version could not read.
        on_gap: called when messages of other hubs may be missing: one was lost on the way, a hub died, or the
            backplane was away.
    """

    def __init__(
        self,
        home: Home,
        *,
        name: str,
        life: str,
        on_waiting: Callable[[], object],
        times: ClusterTimes | None = None,
    ) -> None:
        self._home = home
        self._apps = home.apps
        self._name = name
        self._life = life
        self._over = False
        self.unreadable = 0
        self.on_gap: Callable[[], object] = self._renew_histories
        times = times or ClusterTimes()
        self.links = Links(life, times, self._seats, on_waiting)
        self._sends = Sends(self.links, home.refuse, home.statistics, times.answer)
        self._tallies: dict[str, Tally] = {}
        self._listening: dict[tuple[str, str], None] = {}
        self._enrol()

    def reconfigured(self, now: Instant) -> None:
        """Hear that the hub has other apps: what others have told of new ones is asked for again."""
        self._enrol()
        for link in self.links:
            link.seats.keep_apps(self._apps)
        self._listening = {key: None for key in self._listening if key[0] in self._apps}
        self.links.ask_all_again(now.monotonic)

    def _renew_histories(self) -> None:
        for app in self._apps.values():
            if app.history is not None:
                app.history.renew()

    def _enrol(self) -> None:
        for app in self._apps.values():
            app.cluster = self
            if app.history is not None and app.history.listen is None:
                app.history.join(partial(self.listen, app.id))
        self._tallies = {
            app.id: self._tallies.get(app.id) or Tally(app, self._name) for app in self._apps.values()
        }

    # -- what the backplane says ---------------------------------------------------------------------------

    @property
    def reachable(self) -> bool:
        """Whether the backplane carries; while it does not, this hub serves its own clients."""
        return self.links.reachable

    def opened(self, now: Instant) -> None:
        """Hear that the backplane is there."""
        self.links.opened(now.monotonic)

    def closed(self, now: Instant) -> list[Command]:
        """Hear that the backplane is away, or has lost something of what it was given."""
        self.links.closed()
        return self._cut_off(now)

    def received(self, payload: bytes, now: Instant) -> list[Command]:
        """Take in one packet."""
        if self._over:
            return []
        try:
            packet = decode_packet(payload)
        except PacketError:
            self.unreadable += 1
            return []
        if packet.sender == self._life:
            if isinstance(packet, Beat):
                self.links.echo(now.monotonic)
            return []
        if isinstance(packet, Beat):
            self.links.hear(packet.sender, now.monotonic)
            return []
        if isinstance(packet, Bye):
            return self._gone(filter(None, [self.links.depart(packet.sender)]), now)
        gaps = self.links.gaps
        link = self.links.batch(packet, now.monotonic)
        if self.links.gaps != gaps:
            self.on_gap()
        return [] if link is None else self._take_in(link, packet.messages, now)

    def _take_in(self, link: Link, messages: Iterable[msgspec.Raw], now: Instant) -> list[Command]:
        commands: list[Command] = []
        for raw in messages:
            message = decode_message(raw)
            if message is None:
                self.unreadable += 1
            else:
                commands += _HANDLERS[type(message)](self, link, message, now)
        return commands

    def take(self) -> list[Parcel]:
        """Return what the backplane is to carry, in order."""
        return self.links.take()

    def farewell(self) -> list[Parcel]:
        """Return what tells the others that this hub stops; nothing follows, and nothing is taken in."""
        self._over = True
        return self.links.farewell()

    # -- time ----------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return the monotonic time at which `tick` has something to do."""
        look, answer = self.links.next_look(), self._sends.next_due()
        if look is None or answer is None:
            return answer if look is None else look
        return min(look, answer)

    def tick(self, now: Instant) -> list[Command]:
        """Beat, tell the counts, remove hubs that are gone, give up questions that nobody answers."""
        was_reachable = self.reachable
        gone = self.links.look(now.monotonic)
        if gone:
            self.on_gap()
        commands = self._gone(gone, now)
        if was_reachable and not self.reachable:
            commands += self._cut_off(now)
        for tally in self._tallies.values():
            if self.reachable and (news := tally.news()) is not None:
                self.links.add_all(news)
        return commands + self._sends.give_up_due(now)

    # -- what this hub's clients do ------------------------------------------------------------------------

    def seated(self, app: str, channel: str, peer: PresencePeer, connections: int) -> None:
        """Tell the others how many connections a peer has in a channel here, or in the app (channel "")."""
        self.links.add_all(_seat(app, channel, peer, connections))

    def publish(
        self, app: App, channel: str, sender: PresencePeer, data: msgspec.Raw, hubs: Mapping[str, int]
    ) -> int | None:
        """Hand a message to the hubs that have subscribers.

        Returns:
            How many connections they have, or None where they can't be reached.
        """
        if not self.reachable:
            return None
        message = Publication(app.id, channel, sender.peer_id, bytes(data), _plain(sender.metadata))
        for life in hubs:
            self.links.add(life, message)
        return sum(hubs.values())

    def send(self, session: Session, frame: SendFrame, data: msgspec.Raw, now: Instant) -> list[Command]:
        """Hand a message to the peer wherever it is; the answer to the sender comes when that is known."""
        return self._sends.send(session, frame, data, now)

    def listen(self, app: str, channel: str, *, wanted: bool) -> None:
        """Have the others send a channel's messages, or send them no more, though nobody is subscribed here.

        For who keeps a history of it; `on_gap` says when something of it may be missing.
        """
        if wanted:
            self._listening[app, channel] = None
        else:
            self._listening.pop((app, channel), None)
        self.links.add_all(Seat(app, channel, "", int(wanted)))

    def kick(self, app: str, peer: str) -> None:
        """Have every other hub close a peer's connections."""
        self.links.add_all(Kick(app, peer))

    # -- what other hubs tell ------------------------------------------------------------------------------

    def on_begin(self, link: Link, _message: Begin, _now: Instant) -> list[Command]:
        """Hear that all seats follow."""
        link.synced = True
        link.seats.begin()
        return []

    def on_seat(self, link: Link, seat: Seat, now: Instant) -> list[Command]:
        """Hear where a peer is; nothing is believed of a hub after something was missed."""
        if not link.synced or seat.app not in self._apps:
            return []
        before = link.seats.put((seat.app, seat.channel, seat.peer), seat.connections)
        return self._move(link.life, seat, before, now)

    def on_end(self, link: Link, _message: End, now: Instant) -> list[Command]:
        """Hear that those were all: what was not among them is over."""
        commands: list[Command] = []
        for (app, channel, peer), before in link.seats.end().items() if link.synced else ():
            commands += self._move(link.life, Seat(app, channel, peer, 0), before, now)
        for tally in self._tallies.values():
            self.links.add(link.life, tally.counts())
        return commands

    def on_publication(self, _link: Link, message: Publication, now: Instant) -> list[Command]:
        """Record another hub's message, and hand it to the subscribers here."""
        app = self._apps.get(message.app)
        if app is None:
            return []
        sender, data = PresencePeer(message.sender, _raw(message.metadata)), msgspec.Raw(message.data)
        history, channel = app.history, app.channels.get(message.channel)
        entry = None if history is None else history.record(message.channel, sender, data, None, now.wall)
        if channel is None:
            return []
        self._home.statistics.delivered += len(channel.subscribers)
        app.statistics.delivered += len(channel.subscribers)
        return [*channel.message(sender, data, entry=entry)]

    def on_deliver(self, link: Link, message: Deliver, _now: Instant) -> list[Command]:
        """Hand a message to a peer's connections here, and say how many there are."""
        app = self._apps.get(message.app)
        handed, commands = 0, list[Command]()
        if app is not None:
            sender = PresencePeer(message.sender, _raw(message.metadata))
            handed, commands = app.hand_over(message.peer, sender, msgspec.Raw(message.data))
            self._home.statistics.delivered += handed
        self.links.add(link.life, Delivered(message.number, handed))
        return commands

    def on_delivered(self, link: Link, message: Delivered, now: Instant) -> list[Command]:
        """Hear whether another hub had the peer."""
        return self._sends.answered(link.life, message.number, message.connections, now)

    def on_kick(self, _link: Link, message: Kick, now: Instant) -> list[Command]:
        """Close a peer's connections, as an operator said at another hub."""
        return self._home.kick(message.app, message.peer, now) if message.app in self._apps else []

    def on_counts(self, _link: Link, message: Counts, now: Instant) -> list[Command]:
        """Hear what was counted elsewhere."""
        app = self._apps.get(message.app)
        if app is not None:
            app.meter.has_room(now)  # begins the period of `now`, if it is a new one
            self._tallies[app.id].merge(message)
        return []

    def on_restart(self, link: Link, _message: Restart, _now: Instant) -> list[Command]:
        """Tell everything anew: the other hub missed something."""
        self.links.restart(link)
        return []

    # -- seats ---------------------------------------------------------------------------------------------

    def _cut_off(self, now: Instant) -> list[Command]:
        self.on_gap()
        return self._sends.fail_all(now)

    def _gone(self, links: Iterable[Link], now: Instant) -> list[Command]:
        commands: list[Command] = []
        for link in links:
            for (app, channel, peer), before in link.seats.clear().items():
                commands += self._move(link.life, Seat(app, channel, peer, 0), before, now)
            commands += self._sends.lost(link.life, now)
        return commands

    def _move(self, life: str, seat: Seat, before: int, now: Instant) -> list[Command]:
        """Let so many connections of a peer at another hub become others in number."""
        app = self._apps.get(seat.app)
        if app is None or before == seat.connections:
            return []
        if not seat.channel:
            app.count_elsewhere(life, seat.peer, before, seat.connections)
            return []
        if not seat.peer:
            app.listen_elsewhere(life, seat.channel, bool(seat.connections))
            return []
        peer = PresencePeer(seat.peer, _raw(seat.metadata))
        channel = app.join_elsewhere(life, seat.channel, peer, before, seat.connections)
        return self._home.presence.changed(channel, now.monotonic)

    def _seats(self) -> Iterator[Seat]:
        for app in self._apps.values():
            for sessions in app.peers.values():
                yield _seat(app.id, "", sessions[0].peer, len(sessions))
            for channel in app.channels.values():
                for peer, connections in channel.roster.local():
                    yield _seat(app.id, channel.name, peer, connections)
        for app_id, name in self._listening:
            yield Seat(app_id, name, "", 1)


def _seat(app: str, channel: str, peer: PresencePeer, connections: int) -> Seat:
    metadata = _plain(peer.metadata) if channel and connections else None
    return Seat(app, channel, peer.peer_id, connections, metadata)


def _plain(raw: msgspec.Raw | None) -> bytes | None:
    return None if raw is None else bytes(raw)


def _raw(text: bytes | None) -> msgspec.Raw | None:
    return None if text is None else msgspec.Raw(text)


_HANDLERS: dict[type[AnyMessage], Handler] = {
    Begin: Cluster.on_begin,
    Seat: Cluster.on_seat,
    End: Cluster.on_end,
    Publication: Cluster.on_publication,
    Deliver: Cluster.on_deliver,
    Delivered: Cluster.on_delivered,
    Kick: Cluster.on_kick,
    Counts: Cluster.on_counts,
    Restart: Cluster.on_restart,
}
