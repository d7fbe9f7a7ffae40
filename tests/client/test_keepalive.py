from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentbus.client.keepalive import Act, Keepalive


def run(rule: Keepalive, heard: list[float], until: float) -> list[tuple[float, Act]]:
    """Follow the rule's own advice on when to look, from time 0; frames come at the times in `heard`."""
    done: list[tuple[float, Act]] = []
    now, pinged_at = 0.0, -1.0
    while now <= until:
        heard_at = max([0.0, *(moment for moment in heard if moment <= now)])
        act, delay = rule.look(now, heard_at, pinged_at)
        if act is not Act.WAIT:
            done.append((now, act))
        if act is Act.GIVE_UP:
            break
        if act is Act.PING:
            pinged_at = now
        now += delay
    return done


def test_pings_after_each_third_and_gives_up_after_the_whole() -> None:
    rule = Keepalive(60.0)
    assert run(rule, [], 100.0) == [(20.0, Act.PING), (40.0, Act.PING), (60.0, Act.GIVE_UP)]


def test_an_inbound_frame_starts_the_count_anew() -> None:
    assert run(Keepalive(60.0), [15.0], 100.0) == [(35.0, Act.PING), (55.0, Act.PING), (75.0, Act.GIVE_UP)]


def test_pings_are_at_least_a_second_apart() -> None:
    assert run(Keepalive(1.5), [], 10.0) == [(1.0, Act.PING), (1.5, Act.GIVE_UP)]


def test_a_time_out_below_a_second_gives_up_without_a_ping() -> None:
    assert run(Keepalive(0.5), [], 10.0) == [(0.5, Act.GIVE_UP)]


def test_zero_turns_it_off() -> None:
    assert not Keepalive(0.0).enabled


@given(st.floats(0.1, 1e6), st.lists(st.floats(0.0, 1e3), max_size=20))
def test_gives_up_exactly_one_time_out_after_the_last_frame(timeout: float, heard: list[float]) -> None:
    rule = Keepalive(timeout)
    done = run(rule, heard, 1e9)
    moment, act = done[-1]
    assert act is Act.GIVE_UP
    before = max([0.0, *(at for at in heard if at <= moment)])
    assert abs(moment - before - timeout) < 1e-3
    assert len(done) <= 3 * (len(heard) + 2)


@given(st.floats(0.1, 1e6), st.floats(0, 1e9), st.floats(0, 1e3), st.floats(-1, 1e3))
def test_never_asks_to_be_called_back_at_once(
    timeout: float, now: float, silent: float, pinged: float
) -> None:
    act, delay = Keepalive(timeout).look(now, now - silent, now - pinged if pinged >= 0 else -1.0)
    assert act is Act.GIVE_UP or delay > 0
