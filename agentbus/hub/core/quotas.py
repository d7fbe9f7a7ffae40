"""What each app has used: messages per calendar month (UTC) and concurrent connections. Spec section 8.

The counts live in memory. With a `UsageStore` they are loaded when a period begins and saved at most every 5
s, so a crash forgets at most the last 5 s of counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec

from agentbus.hub.core.config import AppConfig
from agentbus.hub.core.instant import Instant

SAVE_DELAY = 5.0
MOST_RETIRED = 1000  # apps that a reconfiguration removed and whose counts are still known


class UsageRecord(msgspec.Struct, frozen=True):
    """What one app used in one period.

    Attributes:
        app: the app's id.
        period_start: Unix seconds of the month's first moment.
        messages: accepted publishes and sends.
        peak_concurrent: most connections at once.
    """

    app: str
    period_start: int
    messages: int
    peak_concurrent: int


class UsageStore(Protocol):
    """Keeps usage over restarts. Calls are rare; a failure is the store's to report, not to raise."""

    def load(self, app: str, period_start: int) -> UsageRecord | None:
        """Return what was saved last for this period, if anything."""
        ...

    def save(self, records: Sequence[UsageRecord]) -> None:
        """Keep `records` in place of older ones of the same app and period."""
        ...


class MemoryUsageStore:
    """Keeps usage as long as this object lives."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, int], UsageRecord] = {}

    def load(self, app: str, period_start: int) -> UsageRecord | None:
        """Return what was saved last for this period, if anything."""
        return self.records.get((app, period_start))

    def save(self, records: Sequence[UsageRecord]) -> None:
        """Keep `records`."""
        self.records.update({(record.app, record.period_start): record for record in records})


class Meter:
    """Counts for one app.

    Attributes:
        messages: accepted publishes and sends of the current period.
        elsewhere_messages: those that other hubs counted.
        concurrent: connections now.
        concurrent_elsewhere: those at other hubs.
        peak_concurrent: most connections at once in the current period.
        period_start: Unix seconds, as is `period_end`.
    """

    __slots__ = (
        "_app",
        "_dirty",
        "_ledger",
        "_quota",
        "concurrent",
        "concurrent_elsewhere",
        "elsewhere_messages",
        "messages",
        "peak_concurrent",
        "period_end",
        "period_start",
    )

    def __init__(self, app: AppConfig, ledger: Ledger) -> None:
        self._app = app.id
        self._quota = app.max_messages_per_period
        self._ledger = ledger
        self._dirty = False
        self.concurrent = 0
        self.concurrent_elsewhere = 0
        self.messages = 0
        self.elsewhere_messages = 0
        self.peak_concurrent = 0
        self.period_start = 0
        self.period_end = 0

    @property
    def app(self) -> str:
        """The id of the app."""
        return self._app

    def limit(self, quota: int) -> None:
        """Allow so many messages per period from now on; 0 is no quota."""
        self._quota = quota

    def has_room(self, now: Instant) -> bool:
        """Tell whether the quota has room for one more message."""
        if now.wall >= self.period_end:
            self._begin_period(now)
        return not self._quota or self.messages + self.elsewhere_messages < self._quota

    def take_message(self, now: Instant) -> bool:
        """Count an accepted message; False where the quota has no room for it."""
        if now.wall >= self.period_end:
            self._begin_period(now)
        if self._quota and self.messages + self.elsewhere_messages >= self._quota:
            return False
        self.messages += 1
        if not self._dirty:
            self._touch(now)
        return True

    def count_connection(self, now: Instant) -> None:
        """Count a connection in."""
        if now.wall >= self.period_end:
            self._begin_period(now)
        self.concurrent += 1
        if self.concurrent > self.peak_concurrent:
            self.peak_concurrent = self.concurrent
            self._touch(now)

    def take_unsaved(self) -> UsageRecord | None:
        """Return what was counted since the last call, in total; None if nothing was."""
        if not self._dirty:
            return None
        self._dirty = False
        return UsageRecord(self._app, self.period_start, self.messages, self.peak_concurrent)

    def _begin_period(self, now: Instant) -> None:
        self._ledger.save()
        self.period_start, self.period_end = month_of(now.wall)
        record = self._ledger.load(self._app, self.period_start)
        self.messages = record.messages if record else 0
        self.elsewhere_messages = 0
        self.peak_concurrent = max(self.concurrent, record.peak_concurrent if record else 0)

    def _touch(self, now: Instant) -> None:
        self._dirty = self._ledger.expect(now)


class Ledger:
    """All meters of a hub, and when they are saved."""

    __slots__ = ("_meters", "_retired", "_store", "due")

    def __init__(self, store: UsageStore | None) -> None:
        self._store = store
        self._meters: list[Meter] = []
        self._retired: dict[str, Meter] = {}
        self.due: float | None = None

    def open_meter(self, app: AppConfig) -> Meter:
        """Return the meter of one app."""
        meter = self._retired.pop(app.id, None) or Meter(app, self)
        meter.limit(app.max_messages_per_period)
        self._meters.append(meter)
        return meter

    def retire(self, meter: Meter) -> None:
        """Save the counts of an app that is no more; should it come back soon, they go on."""
        self.save()
        self._meters.remove(meter)
        self._retired[meter.app] = meter
        if len(self._retired) > MOST_RETIRED:
            del self._retired[next(iter(self._retired))]

    def expect(self, now: Instant) -> bool:
        """Plan to save; False where there is nothing to save to."""
        if self._store is None:
            return False
        if self.due is None:
            self.due = now.monotonic + SAVE_DELAY
        return True

    def load(self, app: str, period_start: int) -> UsageRecord | None:
        """Return what the store knows."""
        return self._store.load(app, period_start) if self._store else None

    def save(self) -> None:
        """Save what was counted since the last time."""
        self.due = None
        records = [record for meter in self._meters if (record := meter.take_unsaved())]
        if records and self._store:
            self._store.save(records)


def month_of(wall: float) -> tuple[int, int]:
    """Return when the calendar month (UTC) of `wall` begins, and when the next one does, in Unix seconds."""
    day = datetime.fromtimestamp(wall, UTC)
    start = datetime(day.year, day.month, 1, tzinfo=UTC)
    end = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
    return int(start.timestamp()), int(end.timestamp())
