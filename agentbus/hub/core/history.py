"""What was published lately, channel by channel, so that a client that was away gets it. `docs/protocol.md`.

Recording is one step with routing and costs the same however much is held. What is too old goes when
somebody looks, what is too much goes at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Protocol

import msgspec

from agentbus.hub.core.config import HistoryLimits, HistoryRule
from agentbus.hub.core.stored import ENTRY_BYTES, Author, Entry, HistoryStore, StoredChannel
from agentbus.protocol import Pattern, Position, PresencePeer, compile_pattern


class Listen(Protocol):
    """Told of channels whose messages are wanted from other hubs, and are not any more."""

    def __call__(self, channel: str, *, wanted: bool) -> None:
        """Hear it of one."""


NAMES_WITHOUT = 4096  # channels that are known to have no history
MOST_LOOKS = 64  # channels that are looked at to make room for one more


class History:
    """The latest messages of one channel.

    Attributes:
        name: the channel.
        epoch: names this life of the history.
        head: the offset of the newest message, held or not; 0 before the first.
        held_bytes: what its entries count for.
        followers: connections that follow it now: as long as there are any, it is not forgotten.
        seen_head: the newest offset when somebody looked for a channel to forget last.
    """

    __slots__ = (
        "_entries",
        "_max_age",
        "_max_bytes",
        "_max_messages",
        "epoch",
        "followers",
        "head",
        "held_bytes",
        "name",
        "seen_head",
    )

    def __init__(self, name: str, epoch: str, rule: HistoryRule) -> None:
        self.name = name
        self.epoch = epoch
        self.head = 0
        self.held_bytes = 0
        self.followers = 0
        self.seen_head = -1
        self._max_messages = rule.max_messages
        self._max_bytes = rule.max_bytes
        self._max_age = rule.max_age
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def position(self) -> Position:
        """Where it stands."""
        return Position(self.epoch, self.head)

    @property
    def first(self) -> int:
        """The offset of the oldest message that is held, or would be."""
        return self.head + 1 - len(self._entries)

    def add(self, sender: PresencePeer, data: msgspec.Raw, author: Author | None, at: float) -> Entry:
        """Hold one more message, and no more of the old ones than may be."""
        # This is hot. A payload shares memory with its whole frame: a copy is all that is held.
        entries, size = self._entries, len(data) + ENTRY_BYTES
        if sender.metadata is not None:
            size += len(sender.metadata)
        self.head = head = self.head + 1
        entry = Entry(head, at, sender, data.copy(), author, size)
        entries.append(entry)
        if len(entries) > self._max_messages:
            size -= entries.popleft().size
        self.held_bytes = held_bytes = self.held_bytes + size
        if held_bytes > self._max_bytes:
            self._shrink()
        return entry

    def _shrink(self) -> None:
        while len(self._entries) > self._max_messages or self.held_bytes > self._max_bytes:
            self.held_bytes -= self._entries.popleft().size

    def renew(self, epoch: str) -> None:
        """Begin anew, for messages may be missing; offsets go on, as followers count on."""
        self.epoch = epoch
        self._entries.clear()
        self.held_bytes = 0

    def give_up_some(self) -> None:
        """Give up the oldest quarter, one message at least."""
        for _ in range(len(self._entries) // 4 + 1 if self._entries else 0):
            self.held_bytes -= self._entries.popleft().size

    def expire(self, now: float) -> None:
        """Give up what is too old."""
        entries, oldest = self._entries, now - self._max_age
        while entries and entries[0].at < oldest:
            self.held_bytes -= entries.popleft().size

    def reaches(self, since: Position) -> bool:
        """Tell whether all messages after `since` are held."""
        return since.epoch == self.epoch and self.first <= since.offset + 1 <= self.head + 1

    def after(self, offset: int) -> Iterator[Entry]:
        """Give the messages that come after `offset`, which is not before the first; don't add meanwhile."""
        return islice(self._entries, offset + 1 - self.first, None)

    def restore(self, stored: StoredChannel) -> None:
        """Take over what a store kept."""
        self.head = stored.head
        self._entries.extend(stored.entries)
        self.held_bytes = sum(entry.size for entry in stored.entries)
        self._shrink()


class Histories:
    """The histories of one app.

    Args:
        app: its id.
        rules: which channels have one, and how much of it; the first that matches counts.
        limits: of all of them together.
        life: begins the epoch of each history that begins now; never given twice.
        store: keeps them over restarts.

    Attributes:
        held_bytes: what all entries count for.
        forgotten: channels that had to make room for others.
        listen: told of channels whose messages are wanted from other hubs, and are not any more.
    """

    __slots__ = (
        "_app",
        "_begun",
        "_channels",
        "_life",
        "_max_bytes",
        "_max_channels",
        "_rules",
        "_store",
        "_without",
        "forgotten",
        "held_bytes",
        "listen",
    )

    def __init__(
        self,
        app: str,
        rules: tuple[HistoryRule, ...],
        limits: HistoryLimits,
        life: str,
        store: HistoryStore | None = None,
    ) -> None:
        self.held_bytes = 0
        self.forgotten = 0
        self.listen: Listen | None = None
        self._app = app
        self._rules: list[tuple[Pattern, HistoryRule]] = [
            (compile_pattern(rule.pattern), rule) for rule in rules
        ]
        self._max_bytes = limits.max_bytes
        self._max_channels = limits.max_channels
        self._life = life
        self._store = store
        self._begun = 0
        self._channels: dict[str, History] = {}
        self._without: set[str] = set()
        if store is not None:
            self._restore(store)

    def __len__(self) -> int:
        return len(self._channels)

    def record(
        self, channel: str, sender: PresencePeer, data: msgspec.Raw, author: Author | None, now: float
    ) -> Entry | None:
        """Record a message that was accepted.

        Args:
            channel: where.
            sender: who published it.
            data: what.
            author: the connection that it came from; None for one from outside.
            now: Unix seconds.

        Returns:
            Its entry; None where the channel has no history.
        """
        history = self._channels.get(channel)
        if history is None:
            history = self.of(channel)
            if history is None:
                return None
        held_bytes = self.held_bytes - history.held_bytes
        entry = history.add(sender, data, author, now)
        self.held_bytes = held_bytes = held_bytes + history.held_bytes
        if self._store is not None:
            self._store.record(self._app, channel, history.epoch, history.first, entry)
        if held_bytes > self._max_bytes:
            self._make_room()
        return entry

    def of(self, channel: str) -> History | None:
        """Give a channel's history, which may begin by that; None where it has none."""
        known = self._channels.get(channel)
        if known is not None or channel in self._without:
            return known
        rule = self._rule_for(channel)
        if rule is None:
            if len(self._without) >= NAMES_WITHOUT:
                self._without.clear()
            self._without.add(channel)
            return None
        if len(self._channels) >= self._max_channels and not self._forget_one():
            return None
        history = self._channels[channel] = History(channel, self._next_epoch(), rule)
        if self.listen is not None:
            self.listen(channel, wanted=True)
        return history

    def _next_epoch(self) -> str:
        self._begun += 1
        return f"{self._life}-{self._begun}"

    def renew(self) -> None:
        """Begin all histories anew: messages of other hubs may be missing in each."""
        for name, history in self._channels.items():
            history.renew(self._next_epoch())
            if self._store is not None:
                self._store.forget(self._app, name)
        self.held_bytes = 0

    def join(self, listen: Listen) -> None:
        """Hear that this hub is one of several from now on."""
        self.listen = listen
        self.renew()
        for name in self._channels:
            listen(name, wanted=True)

    def expire(self, history: History, now: float) -> None:
        """Give up what is too old in one channel, before somebody reads it."""
        first = history.first
        self.held_bytes -= history.held_bytes
        history.expire(now)
        self.held_bytes += history.held_bytes
        if self._store is not None and history.first != first:
            self._store.trim(self._app, history.name, history.first)

    def _rule_for(self, channel: str) -> HistoryRule | None:
        for pattern, rule in self._rules:
            if pattern.matches(channel):
                return rule
        return None

    def _make_room(self) -> None:
        """Let channels give up their oldest messages, in turn, until there is room for a while."""
        enough = self._max_bytes - self._max_bytes // 8
        while self.held_bytes > enough:
            name, history = next(iter(self._channels.items()))
            del self._channels[name]
            self._channels[name] = history
            if not history:
                continue
            self.held_bytes -= history.held_bytes
            history.give_up_some()
            self.held_bytes += history.held_bytes
            if self._store is not None:
                self._store.trim(self._app, name, history.first)

    def _forget_one(self) -> bool:
        """Forget a channel that nobody follows and that was quiet; False if none is found soon."""
        for name, history in list(islice(self._channels.items(), MOST_LOOKS)):
            del self._channels[name]
            if history.seen_head == history.head and not history.followers:
                self.held_bytes -= history.held_bytes
                self.forgotten += 1
                if self.listen is not None:
                    self.listen(name, wanted=False)
                if self._store is not None:
                    self._store.forget(self._app, name)
                return True
            history.seen_head = history.head
            self._channels[name] = history
        return False

    def _restore(self, store: HistoryStore) -> None:
        for stored in store.load(self._app):
            rule = self._rule_for(stored.name)
            if rule is None or len(self._channels) >= self._max_channels:
                store.forget(self._app, stored.name)
                continue
            history = self._channels[stored.name] = History(stored.name, stored.epoch, rule)
            history.restore(stored)
            self.held_bytes += history.held_bytes
        if self.held_bytes > self._max_bytes:
            self._make_room()
