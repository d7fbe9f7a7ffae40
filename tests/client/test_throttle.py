from __future__ import annotations

from agentbus.client.throttle import Throttle


def test_the_first_is_said_and_then_one_line_speaks_for_many() -> None:
    throttle = Throttle(10.0)
    said = [throttle.complain(moment) for moment in (0.0, 1.0, 2.0, 10.0, 11.0, 30.0)]
    assert said == [1, 0, 0, 3, 0, 2]
