"""Broadcast: typed messages on topics, at most once, to whoever listens at that moment. On the I/O loop.

The hub never echoes to the publisher's own connection, so the publisher's node hands its broadcasts to its
own listeners itself. Each listener has a lane of its own: a slow one holds up nobody. Which channel carries a
topic is `channels`'s to say, which listener of a group gets a message `groups`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from agentbus.agents.address import topic_channel
from agentbus.agents.channels import Carrier, TopicChannels, shared_channel, shared_number, shared_seat
from agentbus.agents.delivery import Body
from agentbus.agents.directory import AgentEntry
from agentbus.agents.groups import MAX_PLACES, Part, Place, choose_place, places_elsewhere
from agentbus.agents.membership import Membership
from agentbus.agents.message import Message
from agentbus.agents.subscribing import Subscribing
from agentbus.agents.topics import Cast, Listener, Topics, decode_cast, kind_name
from agentbus.agents.traffic import Traffic
from agentbus.agents.uplink import Uplink
from agentbus.errors import MailboxFullError, MissingPermission
from agentbus.runtime import Future


class Broadcasts:
    """Broadcasts in and out.

    Args:
        uplink: the way to the hub.
        traffic: paces what leaves.
        membership: who else listens.
        now: gives monotonic seconds.
    """

    def __init__(
        self, uplink: Uplink, traffic: Traffic, membership: Membership, now: Callable[[], float]
    ) -> None:
        self._uplink = uplink
        self._traffic = traffic
        self._membership = membership
        self._topics = Topics()
        self._channels = TopicChannels(membership.namespace)
        self._subscribing = Subscribing(uplink, traffic.pacer, now)
        self._seats: dict[str, Future[None]] = {}
        self._sent = 0
        self._closed: Exception | None = None

    # -- listeners -------------------------------------------------------------------------------------------

    def listen(self, topic: str, key: object, listener: Listener, ready: Future[None]) -> None:
        """Enter a listener; `ready` is done once the hub, and where it matters other nodes, know of it."""
        if self._closed is not None:
            ready.try_set_exception(self._closed)
            return
        part = self._topics.add(topic, key, listener)
        waits = self._waits(self._channels.carrier(topic) or self._carry(topic))
        if part is not None:
            waits.append(self._take_seat(part.entry(min(len(self._topics.members(part)), MAX_PLACES))))
        _when_all(waits, ready)

    def _waits(self, carrier: Carrier) -> list[Future[None]]:
        """Give what has to be done before messages come by a channel."""
        seat = None if carrier.shared is None else self._seats.get(shared_seat(carrier.shared))
        return [each for each in (self._subscribing.wait(carrier.channel), seat) if each is not None]

    def _carry(self, topic: str) -> Carrier:
        """Have a channel carry a topic."""
        carrier, new = self._channels.add(topic)
        if new:
            self._subscribing.subscribe(carrier.channel, topic)
            if carrier.shared is not None:
                self._take_seat(AgentEntry(shared_seat(carrier.shared), public=True))
        return carrier

    def _take_seat(self, entry: AgentEntry) -> Future[None]:
        """List a seat, or list it otherwise; the future is of others' knowing."""
        self._membership.host(entry)
        told = self._seats[entry.name] = self._membership.announcing.wait()
        return told

    def _leave_seat(self, seat: str) -> None:
        self._seats.pop(seat, None)
        self._membership.unhost(seat)

    def unlisten(self, topic: str, key: object) -> None:
        """Remove a listener; with a channel's last one the channel goes too."""
        if topic not in self._topics:
            return
        part = self._topics.remove(topic, key)
        if part is not None:
            self._leave_group(part)
        if topic not in self._topics:
            self._drop(topic)

    def _leave_group(self, part: Part) -> None:
        members = len(self._topics.members(part))
        if members:
            self._take_seat(part.entry(min(members, MAX_PLACES)))
        else:
            self._leave_seat(part.seat)

    def _drop(self, topic: str) -> None:
        """Have no channel carry a topic any more."""
        carrier, unused = self._channels.remove(topic)
        if unused:
            self._subscribing.unsubscribe(carrier.channel)
            if carrier.shared is not None:
                self._leave_seat(shared_seat(carrier.shared))

    # -- the connection --------------------------------------------------------------------------------------

    def online(self, limit: int) -> None:
        """Subscribe what could not be subscribed so far; the client sees to the rest.

        Args:
            limit: channels that the hub lets this connection have.
        """
        for topic in self._channels.limit(limit):
            self._move(topic)
        self._subscribing.online()

    def _move(self, topic: str) -> None:
        """Have another channel carry a topic that there is no room for; who waits goes on waiting."""
        carrier = self._channels.carrier(topic)
        before = None if carrier is None else self._subscribing.wait(carrier.channel)
        self._drop(topic)
        waits = self._waits(self._carry(topic))
        if before is not None:
            _when_all(waits, before)

    def offline(self) -> None:
        """Wait."""
        self._subscribing.offline()

    def tick(self) -> None:
        """Subscribe what the pace allows."""
        self._subscribing.tick()

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next."""
        return self._subscribing.next_deadline()

    def close(self, error: Exception) -> None:
        """Fail what waits, and whatever comes while the node says goodbye."""
        self._closed = error
        self._subscribing.close(error)
        self._membership.announcing.fail(error)
        for cast in self._traffic.take_casts():
            cast.token.try_set_exception(error)

    # -- out -------------------------------------------------------------------------------------------------

    def send(
        self, topic: str, message: Message, body: msgspec.Raw, sender: str | None, sent: Future[None]
    ) -> None:
        """Publish a message, and hand it to the listeners here."""
        self._sent += 1
        number = f"{self._membership.stamp.incarnation[:8]}.{self._sent:x}"
        if self._closed is not None:
            sent.try_set_exception(self._closed)
            return
        cast = Cast(message.__wire_name__, message.__wire_version__, body, sender, number)
        try:
            if self._uplink.grants is not None:
                self._uplink.grants.check_broadcast()
            self._publish(topic, cast, sent)
        except (MissingPermission, MailboxFullError) as error:
            sent.try_set_exception(error)
        else:
            self._offer(topic, message, cast, here=True)

    def _publish(self, topic: str, cast: Cast, sent: Future[None]) -> None:
        """Publish on the topic's own channel, and on the shared one if somebody may listen there."""
        number = shared_number(topic)
        frames = {topic_channel(self._membership.namespace, topic): msgspec.json.encode(cast)}
        if self._is_shared(number):
            twin = msgspec.json.encode(msgspec.structs.replace(cast, topic=topic))
            frames[shared_channel(self._membership.namespace, number)] = twin
        if len(frames) == 1:
            self._traffic.cast(frames, [sent])
            return
        parts = [Future[None]().quiet() for _ in frames]
        self._traffic.cast(frames, parts)
        _when_all(parts, sent)

    def _is_shared(self, number: int) -> bool:
        """Whether another node listens on a shared channel; assumed as long as the directory is unknown."""
        if not self._membership.informed:
            return True
        listening = self._membership.nodes.seated(shared_seat(number))
        return any(record is not self._membership.own for record in listening)

    # -- in --------------------------------------------------------------------------------------------------

    def arrived(self, channel: str, raw: bytes) -> None:
        """Take what somebody published on a topic."""
        cast = decode_cast(raw)
        if cast is None:
            return
        topic = self._channels.topic(channel)
        if cast.topic is not None:
            carrier = self._channels.carrier(cast.topic)
            # what is also listened to on its own channel comes there, too
            topic = cast.topic if carrier is not None and carrier.channel == channel else None
        if topic is not None:
            self._offer(topic, Body(cast.type, cast.version, cast.body), cast, here=False)

    def _offer(self, topic: str, item: Message | Body, cast: Cast, *, here: bool) -> None:
        for listener in self._topics.listeners(topic):
            listener.offer(item)
        for group in self._topics.groups(topic):
            self._offer_to_group(Part(topic, group, ""), item, cast, here=here)

    def _offer_to_group(self, group: Part, item: Message | Body, cast: Cast, *, here: bool) -> None:
        """Hand a message to the listener of a group that all nodes pick, if it is one of ours."""
        membership = self._membership
        in_directory = membership.established and not membership.guest
        if not in_directory and not here:
            return  # others pick among themselves: they don't know of us
        parts = (group, group._replace(kind=kind_name(cast.type, cast.version)))
        node = membership.stamp.node
        own = {
            Place(node, part, number): listener
            for part in parts
            for number, listener in enumerate(self._topics.members(part)[:MAX_PLACES])
        }
        elsewhere = [each for part in parts for each in places_elsewhere(membership.nodes, part, node)]
        chosen = choose_place(cast.id, own, elsewhere if in_directory else ())
        listener = None if chosen is None else own.get(chosen)
        if listener is not None:
            listener.offer(item)


def _when_all(futures: list[Future[None]], ready: Future[None]) -> None:
    """Settle a future when all of several are done, with the first failure if there is one."""
    waiting = len(futures)

    def one_done(future: Future[None]) -> None:
        nonlocal waiting
        waiting -= 1
        error = future.exception()
        if error is not None:
            ready.try_set_exception(error)
        elif not waiting:
            ready.try_set(None)

    if not futures:
        ready.try_set(None)
    for future in futures:
        future.add_done_callback(partial(one_done))
