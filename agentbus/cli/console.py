"""The one module that prints: data to stdout, all else to stderr, text from elsewhere escaped."""

from __future__ import annotations

import os
import sys
from typing import IO, TYPE_CHECKING, Any

import msgspec

from agentbus.cli.text import clean, clean_json

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


COLUMNS_IN_A_FILE = 110


def data(line: str) -> None:
    """Print one line of data for people; it is complete in a pipe at once."""
    _write(sys.stdout, clean(line))


def data_json(value: Any) -> None:
    """Print one value as one line of JSON."""
    _write(sys.stdout, json_line(msgspec.json.encode(value)))


def json_line(text: bytes) -> str:
    """Fold JSON text into one line that is safe to show, without decoding its numbers or keys."""
    return clean_json(msgspec.json.format(text, indent=-1).decode(errors="replace"))


def say(line: str) -> None:
    """Print one line for the person at the terminal: never data."""
    _write(sys.stderr, clean(line))


def status(line: str, width: int) -> int:
    """Write a line over the last one that this wrote, for a person at a terminal.

    Args:
        line: the text; empty to wipe the last one.
        width: of the last one.

    Returns:
        The width of this one.
    """
    text = clean(line)
    sys.stderr.write("\r" + text.ljust(width) + ("" if text else "\r"))
    sys.stderr.flush()
    return len(text)


def complain(line: str) -> None:
    """Print one line about what went wrong."""
    say(f"agentbus: {line}")


def show(renderable: RenderableType) -> None:
    """Print tables and headings of a result to stdout. Text inside must be `clean`."""
    console(sys.stdout).print(renderable)


def console(file: IO[str]) -> Console:
    """A rich console that leaves text alone: no markup, no emoji, no highlighting."""
    from rich.console import Console

    columns = None if file.isatty() or "COLUMNS" in os.environ else COLUMNS_IN_A_FILE
    return Console(file=file, width=columns, markup=False, emoji=False, highlight=False)


def is_terminal() -> bool:
    """Whether a person looks at stderr: progress bars are for them alone."""
    return sys.stderr.isatty()


def survive_any_locale() -> None:
    """Print what the terminal's encoding lacks as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def _write(stream: IO[str], line: str) -> None:
    stream.write(line + "\n")
    stream.flush()
