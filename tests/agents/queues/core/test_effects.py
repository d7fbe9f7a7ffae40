"""Effects that are recorded beside a job are known to its later attempts."""

from __future__ import annotations

import msgspec
import pytest

from agentbus.agents.queues.core.job import Effect
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import LeaseLostError, QueueFullError
from tests.agents.queues.core.host import Host, job, raw


def test_a_later_attempt_knows_what_earlier_ones_have_done_also_after_a_restart() -> None:
    host = Host()
    host.attach()
    host.put(job("a", key="order 7"))
    first = host.one()
    assert (first.key, first.effects) == ("order 7", ())
    host.core.record_effect(first.token, Effect("charge"), host.now)
    host.turn()
    host.core.record_effect(first.token, Effect("charge", done=True, value=raw("paid")), host.now)
    host.core.record_effect(first.token, Effect("mail"), host.now)
    host.turn()
    host.restart()
    host.attach(session="another life")
    second = host.one()
    assert (second.attempt, second.key) == (2, "order 7")
    charge, mail = second.effects
    assert (charge.name, charge.done, msgspec.json.decode(charge.value)) == ("charge", True, "paid")
    assert (mail.name, mail.done) == ("mail", False)


def test_an_effect_without_a_valid_lease_is_refused() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    leased = host.one()
    host.pass_time(61.0)
    with pytest.raises(LeaseLostError) as lost:
        host.core.record_effect(leased.token, Effect("charge"), host.now)
    assert lost.value.job_id == "a"
    with pytest.raises(LeaseLostError):
        host.core.record_effect("no token", Effect("charge"), host.now)


def test_a_job_has_so_many_effects_and_so_large_ones_at_most() -> None:
    host = Host(max_effects=2, max_effect_bytes=100)
    host.attach()
    host.put(job("a"))
    token = host.one().token
    host.core.record_effect(token, Effect("one"), host.now)
    host.core.record_effect(token, Effect("two"), host.now)
    host.core.record_effect(token, Effect("two", done=True), host.now)
    with pytest.raises(QueueFullError, match="2 effects"):
        host.core.record_effect(token, Effect("three"), host.now)
    with pytest.raises(QueueFullError, match="100 bytes"):
        host.core.record_effect(token, Effect("one", done=True, value=raw("x" * 100)), host.now)


def test_recording_an_effect_renews_the_lease() -> None:
    host = Host(lease=60.0)
    host.attach()
    host.put(job("a"))
    leased = host.one()
    host.pass_time(50.0)
    host.core.record_effect(leased.token, Effect("charge"), host.now)
    host.pass_time(50.0)
    assert host.ack(leased)


def test_effects_go_with_the_result_and_stay_with_a_dead_letter() -> None:
    host = Host()
    host.attach(capacity=2)
    host.put(job("a"), job("b"))
    good, bad = host.got()
    for leased in (good, bad):
        host.core.record_effect(leased.token, Effect("charge", done=True), host.now)
    host.ack(good)
    host.settle(Settlement(bad.token, "reject"))
    host.restart()
    host.core.steer("retry", ["b"], host.now)
    host.attach()
    assert [each.name for each in host.one().effects] == ["charge"]
