"""What people see of a queue, and change in it."""

from __future__ import annotations

import msgspec
import pytest

from agentbus.agents.queues.core.job import JobStatus
from agentbus.agents.queues.messages import ListJobs, Progress
from agentbus.errors import NoSuchJobError, NoSuchJobStateError
from tests.agents.queues.core.host import WAIT, Host, job, plain


def all_pages(host: Host, state: str, limit: int) -> list[list[str]]:
    pages: list[list[str]] = []
    after = ""
    while True:
        page = host.core.page(ListJobs(state, limit, after), host.now)
        pages.append([each.id for each in page.jobs])
        after = page.after
        if not after:
            return pages


def status(host: Host, job_id: str) -> JobStatus:
    return host.core.job(job_id, host.now)


def test_jobs_are_listed_page_by_page() -> None:
    host = Host()
    host.put(*(job(str(n), delay=float(n == 4)) for n in range(5)))
    host.attach()
    assert all_pages(host, "", 2) == [["0", "1"], ["2", "3"], ["4"]]
    assert all_pages(host, "queued", 10) == [["1", "2", "3"]]
    assert all_pages(host, "leased", 10) == [["0"]]
    assert all_pages(host, "delayed", 10) == [["4"]]
    assert all_pages(host, "dead", 10) == [[]]
    with pytest.raises(NoSuchJobStateError, match=r"'no state'; the states are queued, delayed, .*, dead"):
        all_pages(host, "no state", 10)
    assert host.core.page(ListJobs("", 50, "not a number"), host.now).after == ""


def test_a_page_has_a_bound_whatever_is_asked_for() -> None:
    host = Host()
    host.put(*(job(str(n)) for n in range(600)))
    assert [len(page) for page in all_pages(host, "", 10_000)] == [500, 100]
    assert len(all_pages(host, "", -5)[0]) == 1


def test_a_leased_job_says_who_has_it_and_how_far_it_is() -> None:
    host = Host(lease=60.0)
    host.put(job("a", priority=3, tenant="t", key="k"))
    host.attach("node/worker")
    leased = host.one("node/worker")
    host.attach("node/worker", holding=(leased.token,), progress=(Progress(leased.token, 0.5, "half way"),))
    host.pass_time(10.0)
    assert status(host, "a") == JobStatus(
        "a", "q", "Task", "leased", 3, "t", "k", 1, 5, 0.0, 10.0, "node/worker", 50.0, 0.5, "half way"
    )


def test_a_message_can_be_looked_at_and_a_result() -> None:
    host = Host()
    host.put(job("a", {"n": 1}))

    def body() -> object:
        stored = host.core.body("a")
        return plain(stored.filled(host.store.bodies([stored.number]).get(timeout=WAIT)))

    assert body() == {"n": 1}
    host.restart()
    assert body() == {"n": 1}
    host.attach()
    host.ack(host.one(), "done")
    assert body() == "done"
    with pytest.raises(NoSuchJobError):
        host.core.body("b")


def test_a_cancelled_job_does_not_begin_and_a_running_one_is_revoked() -> None:
    host = Host()
    host.put(job("a"), job("b"))
    host.attach()
    leased = host.one()
    assert host.core.steer("cancel", ["a", "b", "nothing"], host.now) == 2
    host.turn()
    assert host.revoked == {"w": [leased.token]}
    assert host.ends() == {"a": "cancelled", "b": "cancelled"}
    assert not host.ack(leased)
    assert host.attach(holding=(leased.token,)).cancelled == (leased.token,)
    assert host.got() == []
    host.restart()
    assert host.attach(holding=(leased.token,)).cancelled == (leased.token,)
    assert host.core.steer("cancel", [], host.now) == 0


def test_dropping_takes_what_is_over_or_has_not_begun() -> None:
    host = Host()
    host.put(job("a"), job("b", unique="u"), job("c", delay=5.0))
    host.attach()
    assert host.core.steer("drop", ["a", "b"], host.now) == 1
    host.turn()
    assert host.ends() == {"b": "cancelled"}
    with pytest.raises(NoSuchJobError):
        host.core.end_of("b")
    assert host.put(job("d", unique="u")) == ("d",)
    assert host.core.steer("drop", ["nothing"], host.now) == 0
    assert host.core.steer("drop", [], host.now) == 2
    host.turn()
    host.restart()
    assert all_pages(host, "", 10) == [["a"]]


def test_who_watches_is_told_of_every_change_once_a_turn() -> None:
    host = Host()
    host.put(job("unseen"))
    host.core.watched = True
    host.attach()
    host.core.put([job("a")], host.now)
    host.turn()
    host.ack(host.one())
    seen = [(each.id, each.state) for each in host.changed]
    assert seen == [("unseen", "leased"), ("a", "queued"), ("unseen", "done"), ("a", "leased")]


def test_numbers_add_up() -> None:
    host = Host(max_attempts=1)
    host.attach(capacity=3)
    host.put(*(job(str(n), "xx", delay=100.0 * (n == 9)) for n in range(10)))
    one, two, _ = host.got()
    host.ack(one, "y")
    host.fail(two)
    host.pass_time(3.0)
    stats = msgspec.structs.asdict(host.core.stats(host.now))
    expected = {
        "queued": 4,
        "delayed": 1,
        "leased": 3,
        "done": 1,
        "dead": 1,
        "put": 10,
        "acked": 1,
        "failed": 1,
    }
    assert {name: stats[name] for name in expected} == expected
    assert (stats["epoch"], stats["workers"], stats["bytes"]) == (1, 1, 9 * 4 + 3)
    assert stats["oldest"] == pytest.approx(3.0)


def test_a_dead_letter_stays_one_while_another_job_has_its_unique_text() -> None:
    host = Host(max_attempts=1)
    host.attach()
    host.put(job("a", unique="u"))
    host.fail(host.one())
    host.put(job("b", unique="u"))
    assert host.core.steer("retry", ["a"], host.now) == 0
    assert host.core.steer("retry", [], host.now) == 0
    host.turn()
    assert (status(host, "a").state, status(host, "b").state) == ("failed", "leased")
    host.ack(host.one())
    assert host.core.steer("retry", ["a"], host.now) == 1
    host.turn()
    assert host.one().id == "a"
