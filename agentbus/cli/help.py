"""What `--help` shows: names and words for people, none of the types behind them."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand

_TYPE = re.compile(r" <[^>]*>$")
_FACTS = re.compile(r"\[[^\[\]]*\]$")
_WHOLE = re.compile(r"(?<![\d.])(\d+)\.0(?![\d.])")
_RANGE = re.compile(r"([\d.]+)<=x<=([\d.]+)")
_AT_LEAST = re.compile(r"x>=([\d.]+)")


class Command(TyperCommand):
    """A command whose help names arguments as they are typed, and says ranges in words."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the tables of arguments and options."""
        arguments: list[tuple[str, str]] = []
        options: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and parameter.param_type_name == "argument":
                arguments.append((_TYPE.sub("", record[0]), in_words(record[1])))
            elif record is not None:
                options.append((record[0], in_words(record[1])))
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def in_words(text: str) -> str:
    """Say the facts in brackets at the end of a help text as people do: `x>=0.1` is `at least 0.1`."""
    return _FACTS.sub(lambda found: _facts(found[0]), text)


def _facts(facts: str) -> str:
    facts = _RANGE.sub(r"\1 to \2", _WHOLE.sub(r"\1", facts))
    return _AT_LEAST.sub(r"at least \1", facts)
