"""Log lines of a command that runs for long: on stderr, as text or as JSON, hostile text escaped."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from agentbus.cli.text import clean, clean_json


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO agentbus.hub: text`, tracebacks on lines of their own."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        head = f"{_time(record)} {record.levelname} {record.name}: {clean(record.getMessage())}"
        return head + "".join(f"\n  {clean(line)}" for line in _traceback(self, record))


class JsonLines(logging.Formatter):
    """One JSON object per line: time, level, logger, message and, after a failure, the traceback.

    A record with `facts`, a mapping that its `extra` brought, has them as members of their own besides.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        facts: Mapping[str, object] = getattr(record, "facts", {})
        fields: dict[str, object] = {
            **facts,
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        lines = _traceback(self, record)
        if lines:
            fields["traceback"] = "\n".join(lines)
        return clean_json(msgspec.json.encode(fields).decode())


def configure_logging(level: str, form: str) -> None:
    """Send our own log lines of `level` and up to stderr, and other libraries' warnings.

    Other libraries stay at *warning* whatever `level` is: below it, some log request lines with credentials.

    Args:
        level: debug, info, warning, error or critical.
        form: text or json.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("agentbus").setLevel(level.upper())


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return formatter.formatException(record.exc_info).splitlines() if record.exc_info else []
