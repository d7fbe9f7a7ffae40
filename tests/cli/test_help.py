"""Every command explains itself in 80 columns, with words for types, and with examples that it would take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.main import get_command

from agentbus.cli.app import app
from agentbus.cli.examples import EXAMPLES
from tests.cli.conftest import Run


def _tree() -> Iterator[tuple[str, Any]]:
    def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
        yield path, command
        for name, child in getattr(command, "commands", {}).items():
            yield from walk(f"{path} {name}".strip(), child)

    return walk("", get_command(app))


COMMANDS = dict(_tree())


@pytest.mark.parametrize("path", COMMANDS)
def test_its_help_fits_a_terminal_and_shows_no_type_of_python(
    run: Run, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = run(*path.split(), "--help")
    assert code == 0
    lines = out.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if line.endswith("...") and not line.startswith("Usage: ")] == []
    assert not re.search(r"<(str|int|float|path|list)|x[<>]=|<=x|[{}]MODULE", out)
    assert "\nExamples:\n" in out


@pytest.mark.parametrize("path", COMMANDS)
def test_every_argument_and_option_of_it_is_explained(path: str) -> None:
    context = typer.Context(COMMANDS[path])
    unexplained = [
        parameter.name
        for parameter in COMMANDS[path].get_params(context)
        if not (parameter.get_help_record(context) or ("", ""))[1].partition("[")[0].strip()
        and not getattr(parameter, "hidden", False)
    ]
    assert unexplained == []


@pytest.mark.parametrize("path", EXAMPLES)
def test_each_of_its_examples_is_read_as_the_command_would(path: str) -> None:
    for line in EXAMPLES[path]:
        words = shlex.split(line.rpartition(" | ")[2], comments=True)
        assert words.pop(0) == "agentbus"
        command: Any = COMMANDS[""]
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        arguments = words[: words.index(">>")] if ">>" in words else words
        assert command.make_context("example", arguments, resilient_parsing=False)
        assert line.startswith(f"agentbus {path}".strip()) or " | agentbus " in line


def test_every_command_has_examples_and_none_is_of_a_command_that_is_gone() -> None:
    assert set(EXAMPLES) == set(COMMANDS)
