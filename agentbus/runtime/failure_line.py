"""A failure in one line: what it was, and the line of the user's code where it was raised."""

from __future__ import annotations

import traceback
from pathlib import Path

from agentbus.runtime.faults import RelayedFailure

_PACKAGE = str(Path(__file__).parents[1])
LONGEST_MESSAGE = 300
"""Characters of an error's text in the line; the traceback has all of it."""


def failure_line(error: BaseException) -> str:
    """Say what was raised and where: the innermost frame that is not of this package."""
    if isinstance(error, RelayedFailure):
        return f"{error.error_type}: {_in_one_line(error.error_message)} (in its process)"
    text = _in_one_line(str(error))
    said = f"{type(error).__qualname__}: {text}" if text else type(error).__qualname__
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_PACKAGE)
    ]
    return f"{said} ({frames[-1].filename}:{frames[-1].lineno}, in {frames[-1].name})" if frames else said


def _in_one_line(text: str) -> str:
    folded = " ".join(text.split())
    return folded if len(folded) <= LONGEST_MESSAGE else f"{folded[:LONGEST_MESSAGE]}…"
