"""Ten minutes of counts, and how they are drawn."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.server.dashboard.history import STEP, WINDOW, Histories, History, Sample, levels, rates
from agentbus.hub.server.dashboard.plots import HEIGHT, WIDTH, plot, round_up
from agentbus.hub.server.dashboard.render import count, decimal, duration
from tests.hub.core.world import World


def sample(at: float, messages: float = 0.0, connections: float = 0.0) -> Sample:
    return Sample(at, connections, 0.0, messages, 0.0)


@given(st.integers(1, 20), st.integers(0, 60))
def test_a_history_keeps_the_latest(capacity: int, taken: int) -> None:
    history = History(capacity)
    for at in range(taken):
        history.record(sample(float(at)))
    assert [one.at for one in history.samples()] == [float(at) for at in range(taken)][-capacity:]
    assert len(history) == min(capacity, taken)


def test_rates_are_changes_per_second() -> None:
    samples = [sample(0.0, 10), sample(2.0, 30), sample(4.0, 30)]
    assert rates(samples, "messages") == [(2.0, 10.0), (4.0, 0.0)]
    assert rates(samples[:1], "messages") == []


def test_a_counter_that_begins_anew_is_no_negative_rate() -> None:
    assert rates([sample(0.0, 500), sample(2.0, 6)], "messages") == [(2.0, 3.0)]


def test_levels_are_taken_as_they_are() -> None:
    assert levels([sample(0.0, connections=3), sample(2.0, connections=1)], "connections") == [
        (0.0, 3),
        (2.0, 1),
    ]


def test_apps_that_are_gone_are_forgotten() -> None:
    world, histories = World(), Histories()
    histories.record(world.hub.apps(), 0.0)
    histories.record(world.hub.apps(), STEP)
    assert len(histories.samples("demo")) == 2
    histories.record((), 2 * STEP)
    assert histories.samples("demo") == []


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=50))
def test_a_line_stays_within_its_drawing(values: list[float]) -> None:
    drawn = plot([(index * STEP, value) for index, value in enumerate(values)], WINDOW)
    places = [tuple(map(float, place.split(","))) for place in drawn.line[1:].split("L")]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
    assert places[-1][0] == WIDTH
    assert drawn.latest == values[-1]
    assert drawn.peak == max(values) <= drawn.top


def test_what_is_older_than_the_window_is_not_drawn() -> None:
    drawn = plot([(0.0, 1.0), (100.0, 1.0), (150.0, 1.0)], 50.0)
    assert drawn.line == "M0.0,0.0L600.0,0.0"


def test_nothing_is_drawn_of_nothing() -> None:
    assert plot([], WINDOW).line == plot([(1.0, 5.0)], WINDOW).line == ""


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.5, 2), (3, 5), (7, 10), (11, 20), (500, 500)])
def test_the_upper_edge_is_a_round_number(value: float, top: float) -> None:
    assert round_up(value) == top


@pytest.mark.parametrize(
    ("seconds", "text"), [(5.9, "5 s"), (61, "1 min"), (3700, "1 h 1 min"), (90_000, "1 d 1 h"), (-1, "0 s")]
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_numbers_read_as_people_write_them() -> None:
    assert count(1234567).split("\N{NARROW NO-BREAK SPACE}") == ["1", "234", "567"]
    assert [decimal(number) for number in (0, 3, 2.55, 250.4)] == ["0", "3", "2.5", "250"]
