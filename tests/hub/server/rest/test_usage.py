"""What an app has used is still known after a hub that ended without a word."""

from __future__ import annotations

from pathlib import Path

from agentbus.hub.core.quotas import SAVE_DELAY
from agentbus.hub.server.usage_store import SqliteUsageStore
from agentbus.runtime.virtual import VirtualLoop
from tests.hub.server.rest.door import Door


def publish(door: Door, times: int) -> None:
    for _ in range(times):
        assert door.ask("POST", "/v1/channels/a/publish", {"data": 1}).status == 200


def test_a_hub_that_is_killed_loses_the_counts_of_five_seconds_at_most(tmp_path: Path) -> None:
    with VirtualLoop() as loop:
        store = SqliteUsageStore(tmp_path)
        door = Door(loop, usage_store=store)
        door.connect("a")
        publish(door, 3)
        loop.advance(SAVE_DELAY)
        publish(door, 2)  # these are too late
        store.close()  # the hub itself is told nothing
    with VirtualLoop() as loop:
        store = SqliteUsageStore(tmp_path)
        used = Door(loop, usage_store=store).ask("GET", "/v1/usage").json
        store.close()
    assert (used["messagesUsed"], used["peakConcurrent"], used["concurrentNow"]) == (3, 1, 0)
