from __future__ import annotations

import sys
import threading

import pytest

from agentbus.runtime import BlockReport, Future, LoopThread, Watchdog
from agentbus.runtime.watchdog import BlockPolicy, describe
from tests.runtime.threads import PATIENCE


def test_a_loop_that_answers_in_time_is_not_blocked() -> None:
    policy = BlockPolicy(0.1)
    for now in (0.0, 0.05, 1.0, 1.05):
        assert policy.ask(now)
        assert policy.blocked_for(now + 0.04) is None
        policy.answered()
        assert policy.blocked_for(now + 10) is None


def test_a_block_is_reported_once_and_the_next_one_again() -> None:
    policy = BlockPolicy(0.1)
    assert policy.ask(1.0)
    assert not policy.ask(1.05)
    assert policy.blocked_for(1.05) is None
    assert policy.blocked_for(1.25) == 0.25
    assert policy.blocked_for(2.0) is None
    policy.answered()
    assert policy.ask(3.0)
    assert policy.blocked_for(3.5) == 0.5


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan")])
def test_a_threshold_is_positive(threshold: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Watchdog(threshold)


def test_a_handler_that_blocks_is_reported_with_its_line() -> None:
    reports: Future[BlockReport] = Future()
    reported = threading.Event()

    def report(found: BlockReport) -> None:
        reports.try_set(found)
        reported.set()

    loop = LoopThread("watched", watchdog=Watchdog(0.02, report))
    answered: Future[None] = Future()

    def block_the_loop() -> None:
        assert reported.wait(PATIENCE)
        answered.set()

    def give_the_first_sign_of_life() -> None:
        loop.call_later(0.05, block_the_loop)

    loop.call_soon(give_the_first_sign_of_life)
    found = reports.get(PATIENCE)
    answered.get(PATIENCE)
    assert found.loop == "watched"
    assert found.seconds >= 0.02
    assert found.line.endswith(" in block_the_loop")
    assert __file__ in found.line
    assert "block_the_loop" in found.stack
    assert loop.statistics().blocked == 1
    assert loop.close(PATIENCE)


def test_the_default_report_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    logged = threading.Event()
    loop = LoopThread("noisy", watchdog=_Announcing(logged))

    def hold_up() -> None:
        assert logged.wait(PATIENCE)

    loop.call_soon(lambda: loop.call_later(0.05, hold_up))
    assert logged.wait(PATIENCE)
    assert loop.close(PATIENCE)
    assert "noisy: blocked for" in caplog.text
    assert "hold_up" in caplog.text


class _Announcing(Watchdog):
    def __init__(self, logged: threading.Event) -> None:
        super().__init__(0.02)
        self._logged = logged

    def _tell(self, report: BlockReport) -> None:
        super()._tell(report)
        self._logged.set()


def test_a_report_that_fails_does_not_end_the_watch(caplog: pytest.LogCaptureFixture) -> None:
    calls = threading.Semaphore(0)

    def fail(_report: BlockReport) -> None:
        calls.release()
        raise ZeroDivisionError

    loop = LoopThread("watched", watchdog=Watchdog(0.02, fail))

    def hold_up() -> None:
        assert calls.acquire(timeout=PATIENCE)

    for _ in range(2):
        done: Future[None] = Future()
        loop.call_soon(lambda done=done: loop.call_later(0.05, lambda: (hold_up(), done.set())))
        done.get(PATIENCE)
    assert loop.statistics().blocked == 2
    assert loop.close(PATIENCE)
    assert "the report of a blocked loop failed" in caplog.text


def test_a_block_inside_a_library_is_blamed_on_its_caller() -> None:
    stuck = threading.Event()
    inside = threading.Event()

    def call_a_library() -> None:
        inside.set()
        stuck.wait(PATIENCE)

    thread = threading.Thread(target=call_a_library, daemon=True)
    thread.start()
    assert inside.wait(PATIENCE)
    frame = sys._current_frames()[thread.ident or 0]  # pyright: ignore[reportPrivateUsage] -- documented
    report = describe("loop", 1.0, frame)
    del frame
    stuck.set()
    thread.join(PATIENCE)
    assert report.line.endswith(" in call_a_library")
