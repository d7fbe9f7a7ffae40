"""Message counts survive a restart of the hub."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.core import UsageRecord
from agentbus.hub.server.usage_store import FILE_NAME, MAX_WAITING, SqliteUsageStore

JUNE = UsageRecord("shop", 1_780_272_000, 41, 7)


def test_what_was_saved_is_there_after_a_restart(tmp_path: Path) -> None:
    store = SqliteUsageStore(tmp_path / "data")
    assert store.load("shop", JUNE.period_start) is None
    store.save([JUNE, UsageRecord("other", JUNE.period_start, 1, 1)])
    store.save([UsageRecord("shop", JUNE.period_start, 42, 7)])
    store.close()
    again = SqliteUsageStore(tmp_path / "data")
    assert again.load("shop", JUNE.period_start) == UsageRecord("shop", JUNE.period_start, 42, 7)
    assert again.load("shop", JUNE.period_start + 1) is None
    again.close()


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(HubConfigError, match="data-dir: can't be used"):
        SqliteUsageStore(tmp_path / "data")


def test_a_broken_file_counts_from_zero_and_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = SqliteUsageStore(tmp_path)
    store.close()
    for leftover in tmp_path.glob("*-wal"):
        leftover.unlink()
    (tmp_path / FILE_NAME).write_bytes(b"no database" * 1000)
    assert store.load("shop", JUNE.period_start) is None
    assert "counts from 0" in caplog.text


def test_while_the_disk_is_slow_what_waits_is_put_together_and_the_latest_counts_are_kept(
    tmp_path: Path,
) -> None:
    store = SqliteUsageStore(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as slow:
        slow.execute("BEGIN IMMEDIATE")  # nobody else can write now
        for count in range(10 * MAX_WAITING):
            store.save(
                [
                    UsageRecord("shop", JUNE.period_start, count, 7),
                    UsageRecord(f"app {count % 3}", 0, count, 1),
                ]
            )
            assert store.waiting <= MAX_WAITING
        slow.rollback()
    store.close()
    again = SqliteUsageStore(tmp_path)
    assert again.load("shop", JUNE.period_start) == UsageRecord(
        "shop", JUNE.period_start, 10 * MAX_WAITING - 1, 7
    )
    last = [again.load(f"app {number}", 0) for number in range(3)]
    assert {record.messages for record in last if record} == {10 * MAX_WAITING - back for back in (1, 2, 3)}
    again.close()
