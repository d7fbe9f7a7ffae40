"""`ReadyQueue`: the order in which jobs begin.

Strictly by priority; within one priority the tenants take turns, one job each; within one tenant by number,
so that a job that is tried again keeps its place. Adding a number that is higher than those before it takes
constant time, taking one is logarithmic in the tenant's jobs.
"""

from __future__ import annotations

import heapq
from collections import deque

SLACK = 1024
"""Removed numbers that may still lie about, beyond as many as there are jobs."""


class _Level:
    """The jobs of one priority: a heap of numbers for each tenant that has any, and whose turn it is."""

    __slots__ = ("lanes", "turns")

    def __init__(self) -> None:
        self.lanes: dict[str, list[int]] = {}
        self.turns: deque[str] = deque()

    def push(self, number: int, tenant: str) -> None:
        lane = self.lanes.get(tenant)
        if lane is None:
            self.lanes[tenant] = [number]
            self.turns.append(tenant)
        else:
            heapq.heappush(lane, number)

    def pop(self) -> int:
        tenant = self.turns[0]
        lane = self.lanes[tenant]
        number = heapq.heappop(lane)
        if lane:
            self.turns.rotate(-1)
        else:
            self.turns.popleft()
            del self.lanes[tenant]
        return number

    def without(self, gone: set[int]) -> bool:
        """Drop numbers; whether any is left."""
        for tenant in list(self.turns):
            left = [number for number in self.lanes[tenant] if number not in gone]
            heapq.heapify(left)
            if left:
                self.lanes[tenant] = left
            else:
                del self.lanes[tenant]
                self.turns.remove(tenant)
        return bool(self.turns)


class ReadyQueue:
    """Numbers of jobs that could begin now."""

    __slots__ = ("_gone", "_levels", "_order", "_size")

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}
        self._order: list[int] = []
        self._gone: set[int] = set()
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, number: int, priority: int, tenant: str) -> None:
        """Add a job. One that was removed may come back with the same priority and tenant only."""
        self._size += 1
        if number in self._gone:
            self._gone.discard(number)  # its old entry is still in its place
            return
        level = self._levels.get(priority)
        if level is None:
            level = self._levels[priority] = _Level()
            heapq.heappush(self._order, -priority)
        level.push(number, tenant)

    def pop(self) -> int | None:
        """Take the next; None if there is none."""
        while self._order:
            level = self._levels[-self._order[0]]
            number = level.pop()
            if not level.turns:
                del self._levels[-heapq.heappop(self._order)]
            if number in self._gone:
                self._gone.discard(number)
                continue
            self._size -= 1
            return number
        return None

    def remove(self, number: int) -> None:
        """Take a job out that is in it."""
        self._gone.add(number)
        self._size -= 1
        if len(self._gone) > self._size + SLACK:
            self._compact()

    def _compact(self) -> None:
        self._levels = {key: level for key, level in self._levels.items() if level.without(self._gone)}
        self._order = [-priority for priority in self._levels]
        heapq.heapify(self._order)
        self._gone.clear()

    def oldest(self) -> int | None:
        """Give the lowest number; looks at the first job of each tenant."""
        fronts = (self._front(lane) for level in self._levels.values() for lane in level.lanes.values())
        return min((number for number in fronts if number is not None), default=None)

    def _front(self, lane: list[int]) -> int | None:
        if lane[0] not in self._gone:
            return lane[0]
        return min((number for number in lane if number not in self._gone), default=None)
