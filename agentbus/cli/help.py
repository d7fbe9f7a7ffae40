"""What `--help` shows: names and words for people, none of the types behind them, and an example."""

from __future__ import annotations

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

from agentbus.cli.examples import EXAMPLES

WHOLE_SENTENCE = 200
"""Characters of a command's first sentence in the list of its group: it is folded, and not cut."""

_TYPE = re.compile(r" <([^>]*)>$")
_FACTS = re.compile(r"\[[^\[\]]*\]$")
_WHOLE = re.compile(r"(?<![\d.])(\d+)\.0(?![\d.])")
_RANGE = re.compile(r"([\d.]+)<=x<=([\d.]+)")
_AT_LEAST = re.compile(r"x>=([\d.]+)")
_VALUES = {"int": "N", "int range": "N", "float": "N", "float range": "N", "str": "TEXT", "path": "FILE"}


class Command(TyperCommand):
    """A command whose help names arguments as they are typed, and says ranges in words."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Give what the usage line consists of, without the braces around what is required anyway."""
        return [piece.strip("{}").replace("...", "…") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the tables of arguments and options."""
        arguments: list[tuple[str, str]] = []
        options: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and parameter.param_type_name == "argument":
                arguments.append((_TYPE.sub("", record[0]), in_words(record[1])))
            elif record is not None:
                options.append((_TYPE.sub(_value, record[0]), in_words(record[1])))
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write how it is used."""
        _write_examples(ctx, formatter)


class Group(TyperGroup):
    """A group whose help gives the first sentence of each command whole."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the table of commands."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, each.get_short_help_str(WHOLE_SENTENCE)) for name, each in found if each is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write how its commands are used."""
        _write_examples(ctx, formatter)


def _write_examples(ctx: Any, formatter: Any) -> None:
    lines = EXAMPLES.get(ctx.command_path.partition(" ")[2])
    if lines:
        with formatter.section("Examples"):
            for line in lines:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")


def _value(found: re.Match[str]) -> str:
    return f" {_VALUES.get(found[1], found[0].strip())}"


def in_words(text: str) -> str:
    """Say the facts in brackets at the end of a help text as people do: `x>=0.1` is `at least 0.1`."""
    return _FACTS.sub(lambda found: _facts(found[0]), text)


def _facts(facts: str) -> str:
    facts = _RANGE.sub(r"\1 to \2", _WHOLE.sub(r"\1", facts))
    return _AT_LEAST.sub(r"at least \1", facts)
