"""What the README and the pages show is there: imports, commands, links."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from agentbus.cli.app import app

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README = PAGES[0].read_text()


def fenced(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_on_a_page_is_python_and_imports_what_there_is(page: Path) -> None:
    for block in fenced(page, "python"):
        tree = compile(
            block.replace("…", "..."), page.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "agentbus":
                module = importlib.import_module(node.module or "")
                assert [name.name for name in node.names if not hasattr(module, name.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_on_a_page_are_commands_with_such_options(page: Path) -> None:
    for line in re.findall(r"^\$ (?:.* \| )?agentbus (.*)$", page.read_text(), flags=re.MULTILINE):
        words = shlex.split(line.replace("…", "x"), comments=True)
        command = get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command = getattr(command, "commands")[words.pop(0)]  # noqa: B009 -- only groups have them
        assert command.make_context("page", words, resilient_parsing=False), line


def test_the_readme_names_every_command_and_links_every_page() -> None:
    commands: dict[str, object] = getattr(get_command(app), "commands", {})
    assert [
        name for name in commands if name != "version" and f"`{name}`" not in README.replace("agentbus ", "")
    ] == []
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in README] == []
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert set(re.findall(r"^ {4}make ([a-z-]+)", README, flags=re.MULTILINE)) <= set(targets)
