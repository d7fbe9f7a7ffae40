"""What only a file does: claims, fences, full disks, and processes that are killed."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentbus.agents.queues.stores.claim import FileClaim
from agentbus.agents.queues.stores.sqlite_file import SqliteFile
from agentbus.agents.queues.stores.store import Batch
from agentbus.agents.queues.stores.store_sqlite import SqliteQueueStore
from agentbus.errors import QueueFencedError, QueueTakenError, StoreError

ROOT = Path(__file__).resolve().parents[4]
WAIT = 10.0


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[SqliteQueueStore]]:
    made = [SqliteQueueStore(tmp_path / "q.db", name) for name in ("tasks", "tasks", "other/one")]
    yield made
    for store in made:
        store.close().get(timeout=WAIT)


def test_a_second_host_is_refused_and_told_who_has_it(stores: list[SqliteQueueStore]) -> None:
    first, second, _ = stores
    first.open("node one").get(timeout=WAIT)
    with pytest.raises(QueueTakenError, match="node one") as refusal:
        second.open("node two").get(timeout=WAIT)
    assert (refusal.value.queue, refusal.value.holder) == ("tasks", "node one")
    first.close().get(timeout=WAIT)
    assert second.open("node two").get(timeout=WAIT).epoch == 2


def test_who_let_go_of_a_claim_is_not_said_to_have_died_with_it(stores: list[SqliteQueueStore]) -> None:
    first, second, _ = stores
    assert first.claim("node one").get(timeout=WAIT) == ""
    with pytest.raises(QueueTakenError, match="node one"):
        second.claim("node two").get(timeout=WAIT)
    first.close().get(timeout=WAIT)
    assert second.claim("node two").get(timeout=WAIT) == ""
    assert second.open("node two").get(timeout=WAIT).epoch == 1, "a claim alone begins no epoch"


def test_queues_in_one_file_have_nothing_to_do_with_each_other(stores: list[SqliteQueueStore]) -> None:
    first, _, other = stores
    for store, text in ((first, b"1"), (other, b"2")):
        store.open("me").get(timeout=WAIT)
        store.write(Batch({1: text}, {1: text}, notes={"n": text})).get(timeout=WAIT)
    first.write(Batch(erased={1}, notes={"n": None})).get(timeout=WAIT)
    opened = other.open("me").get(timeout=WAIT)
    assert ([each.head for each in opened.records], opened.notes) == ([b"2"], {"n": b"2"})
    assert first.open("me").get(timeout=WAIT).records == []


def test_who_was_overtaken_writes_nothing_any_more(stores: list[SqliteQueueStore], tmp_path: Path) -> None:
    """The lock file is gone, as on a file system without locks: the epoch still holds."""
    first, second, _ = stores
    first.open("one").get(timeout=WAIT)
    for lock in tmp_path.glob("*.lock"):
        lock.unlink()
    assert second.open("two").get(timeout=WAIT).epoch == 2
    for _ in range(2):
        with pytest.raises(QueueFencedError) as fenced:
            first.write(Batch({1: b"x"}, {1: b"x"})).get(timeout=WAIT)
        assert fenced.value.epoch == 1
    second.write(Batch({2: b"y"}, {2: b"y"})).get(timeout=WAIT)
    assert [each.number for each in second.open("two").get(timeout=WAIT).records] == [2]


def test_it_writes_ahead_and_waits_for_the_disk(tmp_path: Path) -> None:
    file = SqliteFile(str(tmp_path / "q.db"), "tasks", None)
    connection = file._file  # pyright: ignore[reportPrivateUsage] -- how it writes is what is tested
    pragmas = [connection.execute(f"PRAGMA {each}").fetchone() for each in ("journal_mode", "synchronous")]
    assert pragmas == [("wal",), (2,)]
    file.close()


def number_of_successes(write: Callable[[int], None]) -> int:
    for number in range(100):
        try:
            write(number)
        except StoreError as error:
            assert "full" in str(error)  # noqa: PT017 -- the first failure is what is counted up to
            return number
    return 100


def test_a_full_disk_fails_typed_and_is_usable_again_afterwards(tmp_path: Path) -> None:
    store = SqliteQueueStore(tmp_path / "q.db", "tasks", max_bytes=200_000)
    store.open("me").get(timeout=WAIT)
    page = b"x" * 4000

    def write(number: int) -> None:
        note: dict[str, bytes | None] = {"n": b"%d" % number}
        store.write(Batch({number: b"h"}, {number: page}, notes=note)).get(timeout=WAIT)

    written = number_of_successes(write)
    assert 10 < written < 50
    opened = store.open("me").get(timeout=WAIT)
    assert [each.number for each in opened.records] == [*range(written)]
    assert opened.notes == {"n": b"%d" % (written - 1)}
    store.write(Batch(erased=set(range(10)))).get(timeout=WAIT)
    store.write(Batch({written: b"h"}, {written: page})).get(timeout=WAIT)
    assert store.bodies([written]).get(timeout=WAIT) == {written: page}
    store.close().get(timeout=WAIT)


def test_a_file_that_is_none_of_ours_fails_typed(tmp_path: Path) -> None:
    (tmp_path / "q.db").write_bytes(b"not a database" * 1000)
    for path in (tmp_path / "q.db", tmp_path / "nowhere" / "q.db"):
        store = SqliteQueueStore(path, "tasks")
        with pytest.raises(StoreError, match=r"q\.db"):
            store.open("me").get(timeout=WAIT)
        with pytest.raises(StoreError, match="not opened"):
            store.write(Batch({1: b"x"})).get(timeout=WAIT)
        store.close().get(timeout=WAIT)


def test_what_was_given_before_the_close_is_written(tmp_path: Path) -> None:
    store = SqliteQueueStore(tmp_path / "q.db", "tasks")
    writes = [store.open("me"), *(store.write(Batch({n: b"h"}, {n: b"b"})) for n in range(600))]
    store.close().get(timeout=WAIT)
    for each in writes:
        each.get(timeout=WAIT)
    again = SqliteQueueStore(tmp_path / "q.db", "tasks")
    assert len(again.open("me").get(timeout=WAIT).records) == 600
    again.close().get(timeout=WAIT)


# -- processes ----------------------------------------------------------------------------------------------


def start_writer(path: Path, mode: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.agents.queues.stores.writer", str(path), mode]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def reports_until_killed(writer: subprocess.Popen[str], lines: int) -> list[int]:
    """Kill a writer after so many lines; gives what it reported until it was dead."""
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "open\n"
        reported = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        rest = writer.stdout.read().splitlines(keepends=True)
    return [int(line) for line in (*reported, *rest) if line.endswith("\n")]


@pytest.mark.e2e
def test_what_was_reported_durable_is_there_after_a_kill(tmp_path: Path) -> None:
    """Each batch is there as a whole or not at all, and a claim ends with its process."""
    chance = random.Random(11)
    path = tmp_path / "q.db"
    for _ in range(4):
        reported = reports_until_killed(start_writer(path, "write"), chance.randrange(1, 400))
        store = SqliteQueueStore(path, "tasks")
        opened = store.open("the test").get(timeout=WAIT)
        last = int(opened.notes["last"])
        assert last >= reported[-1]
        expected = [*range(max(0, last - 49), last + 1)]
        assert [(each.number, each.head) for each in opened.records] == [(n, b"%d" % n) for n in expected]
        assert store.bodies(expected).get(timeout=WAIT) == {n: b"%d" % n * 100 for n in expected}
        assert store.bodies([last - 50, last + 1]).get(timeout=WAIT) == {}
        store.close().get(timeout=WAIT)


@pytest.mark.e2e
def test_a_disk_that_takes_no_more_fails_typed_and_writing_goes_on_when_it_does(tmp_path: Path) -> None:
    with start_writer(tmp_path / "q.db", "fill") as writer:
        output, _ = writer.communicate(timeout=WAIT)
    opened, written, went_on = output.splitlines()
    assert (opened, went_on) == ("open", "went on")
    store = SqliteQueueStore(tmp_path / "q.db", "tasks")
    assert store.open("the test").get(timeout=WAIT).notes == {"last": written.encode()}
    store.close().get(timeout=WAIT)


@pytest.mark.e2e
def test_a_forked_child_does_not_hold_the_claim_of_a_parent_that_was_killed(tmp_path: Path) -> None:
    with start_writer(tmp_path / "q.db", "fork") as writer:
        assert writer.stdout is not None
        assert [writer.stdout.readline() for _ in range(2)] == ["open\n", "the child is there\n"]
        writer.kill()
        writer.wait(timeout=WAIT)
        store = SqliteQueueStore(tmp_path / "q.db", "tasks")
        assert store.claim("the next").get(timeout=WAIT) == "a child", "it has died with it"
        assert store.open("the next").get(timeout=WAIT).epoch == 2
        store.close().get(timeout=WAIT)
        assert writer.stdin is not None
        writer.stdin.close()
        assert writer.stdout.read() == "the child has ended\n"


def test_a_batch_that_can_not_be_written_at_all_fails_and_the_store_lives_on(
    stores: list[SqliteQueueStore],
) -> None:
    store = stores[0]
    store.open("me").get(timeout=WAIT)
    for _ in range(2):
        with pytest.raises(StoreError, match="surrogates"):
            store.write(Batch(notes={"\udcff": b"1"})).get(timeout=WAIT)
    store.write(Batch(notes={"n": b"1"})).get(timeout=WAIT)
    assert store.open("me").get(timeout=WAIT).notes == {"n": b"1"}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_claim_that_fails_leaves_no_file_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_file: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("agentbus.agents.queues.stores.claim.fcntl.flock", no_locks)
    claim = FileClaim(tmp_path / "q.db", "tasks")
    before = open_files()
    for _ in range(5):
        with pytest.raises(OSError, match="No locks"):
            claim.take("me")
    assert open_files() == before


def test_a_link_to_the_same_file_is_the_same_claim(tmp_path: Path) -> None:
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "other.db").symlink_to(tmp_path / "q.db")
    first = SqliteQueueStore(tmp_path / "q.db", "tasks")
    second = SqliteQueueStore(tmp_path / "link" / "other.db", "tasks")
    first.open("node one").get(timeout=WAIT)
    with pytest.raises(QueueTakenError, match="node one"):
        second.open("node two").get(timeout=WAIT)
    for store in (first, second):
        store.close().get(timeout=WAIT)


def test_a_link_in_the_place_of_a_claim_is_refused_and_what_it_leads_to_is_left_alone(tmp_path: Path) -> None:
    store = SqliteQueueStore(tmp_path / "q.db", "tasks")
    store.open("me").get(timeout=WAIT)
    store.close().get(timeout=WAIT)
    (lock,) = tmp_path.glob("*.lock")
    lock.unlink()
    precious = tmp_path / "precious"
    precious.write_text("keep this")
    lock.symlink_to(precious)
    again = SqliteQueueStore(tmp_path / "q.db", "tasks")
    with pytest.raises(StoreError):
        again.open("me").get(timeout=WAIT)
    again.close().get(timeout=WAIT)
    assert precious.read_text() == "keep this"


@pytest.mark.parametrize("together", [1, 40])
def test_the_journal_is_copied_into_the_file_before_it_grows_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr("agentbus.agents.queues.stores.sqlite_file.CHECKPOINT_BYTES", 1 << 16)
    store = SqliteQueueStore(tmp_path / "q.db", "tasks")
    store.open("me").get(timeout=WAIT)
    for begin in range(0, 400, together):
        written = [store.write(Batch({n: b"x"}, {n: bytes(16_000)})) for n in range(begin, begin + together)]
        for each in written:
            each.get(timeout=WAIT)
    assert (tmp_path / "q.db-wal").stat().st_size < 3_000_000, "400 bodies have 6 400 000 bytes"
    assert (tmp_path / "q.db").stat().st_size > 3_000_000
    assert len(store.bodies(list(range(400))).get(timeout=WAIT)) == 400
    store.close().get(timeout=WAIT)
