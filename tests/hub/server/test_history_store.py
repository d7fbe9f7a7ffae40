"""Histories survive a restart of the hub, or begin anew: never is one taken for whole that is not."""

from __future__ import annotations

import contextlib
import sqlite3
import struct
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.core import Author, Entry, HistoryLimits, HistoryRule, StoredChannel, entry_bytes
from agentbus.hub.core.history import Histories
from agentbus.hub.server import history_store
from agentbus.hub.server.history_store import COUNT_NAME, FILE_NAME, SqliteHistoryStore
from agentbus.protocol import PresencePeer

ANN = PresencePeer("ann", msgspec.Raw(b'{"name":"Ann"}'))
RULES = (HistoryRule(pattern="rooms/**", max_messages=3),)


@contextlib.contextmanager
def opened(folder: Path, boot: str = "boot-1") -> Generator[SqliteHistoryStore]:
    store = SqliteHistoryStore(folder, boot)
    with contextlib.closing(store):
        yield store


def histories(store: SqliteHistoryStore | None, life: str = "life-1") -> Histories:
    return Histories("app", RULES, HistoryLimits(), life, store)


def record(kept: Histories, *numbers: int, channel: str = "rooms/1") -> None:
    for number in numbers:
        assert kept.record(channel, ANN, msgspec.Raw(b"%d" % number), Author("me"), 1000.0)


def unsay_farewell(folder: Path) -> None:
    """Leave the folder as a hub does that was killed when all was written."""
    with contextlib.closing(sqlite3.connect(folder / FILE_NAME)) as database, database:
        database.execute("UPDATE facts SET value = 'no' WHERE name = 'farewell'")


def entry(offset: int) -> Entry:
    data = msgspec.Raw(b"%d" % offset)
    return Entry(offset, 1000.0, ANN, data, None, entry_bytes(ANN, data))


def contents(store: SqliteHistoryStore) -> list[tuple[str, str, int, list[bytes]]]:
    return [
        (each.name, each.epoch, each.head, [bytes(one.data) for one in each.entries])
        for each in store.load("app")
    ]


def test_after_a_restart_a_history_goes_on_where_it_was(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record(histories(store), 1, 2, 3, 4)
    with opened(tmp_path) as store:
        assert store.complete
        [stored] = store.load("app")
        assert stored.entries[0].sender == ANN
        assert stored.entries[0].author is not None
        assert stored.entries[0].author.name == "me"
        kept = histories(store, "life-2")
        record(kept, 5)
        history = kept.of("rooms/1")
        assert history is not None
        assert (history.epoch, history.head) == ("life-1-1", 5)
    with opened(tmp_path) as store:
        assert contents(store) == [("rooms/1", "life-1-1", 5, [b"3", b"4", b"5"])]


def test_a_killed_hub_that_lost_nothing_goes_on(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record(histories(store), 1)
    unsay_farewell(tmp_path)
    with opened(tmp_path) as store:
        assert store.complete
        assert contents(store) == [("rooms/1", "life-1-1", 1, [b"1"])]


def test_a_killed_hub_that_lost_a_message_begins_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record(histories(store), 1)
    unsay_farewell(tmp_path)
    (tmp_path / COUNT_NAME).write_bytes(struct.pack("<Q", 2))
    with opened(tmp_path) as store:
        assert not store.complete
        assert contents(store) == []
        record(histories(store, "life-2"), 7)
    with opened(tmp_path) as store:
        assert contents(store) == [("rooms/1", "life-2-1", 1, [b"7"])]


def test_a_machine_that_went_down_without_a_farewell_begins_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        record(histories(store), 1)
    with opened(tmp_path, boot="boot-2") as store:
        assert store.complete  # there was a farewell
    unsay_farewell(tmp_path)
    with opened(tmp_path, boot="boot-3") as store:
        assert not store.complete


def test_what_is_given_up_is_given_up_on_the_disk_too(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for offset in range(1, 8):
            store.record("app", "a", "e", max(1, offset - 1), entry(offset))
            store.record("app", "b", "e", 1, entry(offset))
        store.trim("app", "b", 8)
        store.record("app", "c", "e", 1, entry(1))
        store.forget("app", "c")
    with opened(tmp_path) as store:
        assert contents(store) == [("a", "e", 7, [b"6", b"7"]), ("b", "e", 7, [])]


def test_a_history_that_begins_again_has_nothing_of_its_last_life(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for offset in (1, 2, 3):
            store.record("app", "a", "e1", 1, entry(offset))
        store.record("app", "a", "e2", 1, entry(1))
    with opened(tmp_path) as store:
        assert contents(store) == [("a", "e2", 1, [b"1"])]


def test_a_channel_with_a_hole_is_not_taken_for_whole(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        for offset in (1, 2, 3):
            store.record("app", "a", "e1", 1, entry(offset))
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as database, database:
        database.execute("DELETE FROM entries WHERE offset = 2")
    with opened(tmp_path) as store:
        assert list(store.load("app")) == list[StoredChannel]()


def test_a_second_hub_may_not_use_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(HubConfigError, match="data-dir: can't be used"):
        SqliteHistoryStore(tmp_path)


def test_while_the_disk_is_slow_so_much_waits_and_then_the_next_start_begins_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(history_store, "MAX_WAITING", 10)
    with opened(tmp_path) as store:
        with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as slow:
            slow.execute("BEGIN IMMEDIATE")  # nobody else can write now
            for offset in range(1, 100):
                store.record("app", "a", "e", 1, entry(offset))
                assert store.waiting <= 10
            assert store.failed
        assert "the disk is too slow" in caplog.text
    with opened(tmp_path) as store:
        assert not store.complete
