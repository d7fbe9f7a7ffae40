"""What is logged of a failure that a supervisor deals with."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from agentbus import AgentFailed, AsyncAgentActor, Bus, Message, RestartMode, RestartPolicy, handles
from agentbus.runtime.failure_line import LONGEST_MESSAGE, failure_line


class Break(Message):
    pass


class Fragile(AsyncAgentActor):
    @handles
    async def breaks(self, message: Break) -> None:
        raise ValueError("no\n  such thing")


def fail(error: Exception) -> None:
    raise error


def raised(error: Exception) -> Exception:
    with pytest.raises(type(error)) as caught:
        fail(error)
    return caught.value


def failures(caplog: pytest.LogCaptureFixture, level: int) -> list[logging.LogRecord]:
    return [
        record for record in caplog.records if record.levelno == level and " failed" in record.getMessage()
    ]


@pytest.mark.parametrize(
    ("options", "then"),
    [({}, "stops"), ({"supervision": RestartPolicy(mode=RestartMode.RESTART)}, "restarts in ")],
)
def test_a_failure_is_one_warning_that_names_the_line_and_the_traceback_is_for_debugging(
    caplog: pytest.LogCaptureFixture, options: dict[str, Any], then: str
) -> None:
    caplog.set_level(logging.DEBUG, "agentbus.runtime")
    with Bus() as bus, pytest.raises(AgentFailed):
        bus.spawn(Fragile, name="f", **options).ask(Break()).get(timeout=5)
    (warned,) = failures(caplog, logging.WARNING)
    said = warned.getMessage()
    assert f"/f failed and {then}" in said
    assert f"ValueError: no such thing ({__file__}:" in said
    assert said.endswith(", in breaks)")
    assert warned.exc_info is None
    (debugged,) = failures(caplog, logging.DEBUG)
    assert debugged.exc_info is not None
    assert failures(caplog, logging.ERROR) == []


def test_a_long_text_is_cut_and_an_empty_one_leaves_the_class() -> None:
    line = failure_line(raised(ValueError("x" * 1000)))
    assert line.startswith(f"ValueError: {'x' * LONGEST_MESSAGE}… (")
    assert failure_line(raised(KeyError())).startswith("KeyError (")


def test_an_error_that_was_never_raised_has_no_place() -> None:
    assert failure_line(ValueError("so")) == "ValueError: so"
