from __future__ import annotations

import logging
import sys

import msgspec

from agentbus.cli.logs import JsonLines, TextLines


def fail() -> None:
    raise ValueError("evil\x1b[2J")


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    made = logging.LogRecord("agentbus.hub", logging.WARNING, "f", 1, message, (), None)
    made.created = 0.5
    if failed:
        try:
            fail()
        except ValueError:
            made.exc_info = sys.exc_info()
    return made


def test_a_text_line_cannot_be_forged() -> None:
    line = TextLines().format(record("one\ntwo \x1b[31m"))
    assert line == "1970-01-01T00:00:00.500Z WARNING agentbus.hub: one\\ntwo \\x1b[31m"


def test_a_traceback_follows_indented_and_escaped() -> None:
    lines = TextLines().format(record("failed", failed=True)).splitlines()
    assert lines[1] == "  Traceback (most recent call last):"
    assert lines[-1] == "  ValueError: evil\\x1b[2J"


def test_a_json_line_holds_the_same() -> None:
    line = JsonLines().format(record("one\ntwo \x1b", failed=True))
    assert "\x1b" not in line
    fields = msgspec.json.decode(line)
    assert fields["message"] == "one\ntwo \x1b"
    assert (fields["level"], fields["logger"]) == ("warning", "agentbus.hub")
    assert "ValueError" in fields["traceback"]
