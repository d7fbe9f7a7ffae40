"""The rules of the house: layers, purity, exports, no sleeps, docs whose references exist."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "agentbus"
PURE = ("protocol", "hub/core")
IMPURE_MODULES = {"asyncio", "socket", "threading", "time", "random", "selectors", "ssl", "concurrent"}
LAYERS_EXPORTED = ("client", "agents")


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module


def test_imports_go_down_only() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("folder", PURE)
def test_pure_modules_import_no_time_chance_or_network(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line} imports {module}"
        for path in python_files(f"agentbus/{folder}")
        for line, module in imported_modules(path)
        if module.split(".")[0] in IMPURE_MODULES
    ]
    assert found == []


def test_the_root_exports_what_its_layers_export() -> None:
    root = importlib.import_module("agentbus")
    exported: set[str] = {"__version__"}
    for layer in LAYERS_EXPORTED:
        exported |= set(importlib.import_module(f"agentbus.{layer}").__all__)
    assert list(root.__all__) == sorted(root.__all__)
    assert exported <= set(root.__all__)
    assert [name for name in root.__all__ if not hasattr(root, name)] == []


def test_no_error_lives_outside_the_tree() -> None:
    errors = importlib.import_module("agentbus.errors")
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    outside = [
        cls for cls in classes if issubclass(cls, BaseException) and not issubclass(cls, errors.AgentBusError)
    ]
    assert outside == []
    drawn = set(re.findall(r"[├└]─ (\w+)", errors.__doc__ or ""))
    assert {cls.__name__ for cls in classes if issubclass(cls, Exception)} == drawn | {"AgentBusError"}


def _real_sleeps(path: Path) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = ast.unparse(node.func)
        if called in {"time.sleep", "asyncio.sleep", "sleep"} and ast.unparse(node.args[0]) not in {
            "0",
            "0.0",
        }:
            yield node.lineno


def test_no_test_sleeps() -> None:
    """Virtual time only; a coroutine that sleeps on a `VirtualLoop` says so with `virtual_sleep`."""
    found = [
        f"{path.relative_to(ROOT)}:{line}" for path in python_files("tests") for line in _real_sleeps(path)
    ]
    assert found == []


def test_files_have_one_subject() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in python_files("agentbus")}
    del sizes[ROOT / "agentbus" / "__init__.py"]  # the list of what is public, twice a line for each name
    assert {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size > 400} == {}


def test_every_promise_names_a_test_that_exists() -> None:
    promising = ("docs/semantics.md", "docs/limits.md", "SECURITY.md")
    pages = "".join((ROOT / page).read_text() for page in promising)
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", pages)
    assert named
    missing: list[str] = []
    for file, test in named:
        path = ROOT / file
        if not path.exists() or (test and not re.search(rf"\b(def|class) {test}\b", path.read_text())):
            missing.append(f"{file}::{test}")
    assert missing == []


def test_every_link_of_the_docs_leads_somewhere() -> None:
    made_by_a_target = {ROOT / "benchmarks" / "RESULTS.md"}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 10
    dead = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text())
        if not (page.parent / link).exists() and (page.parent / link).resolve() not in made_by_a_target
    ]
    assert dead == []


def test_nothing_names_a_path_of_one_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    home = re.compile(r"(?<![\w./-])/(?:work|root|home/\w+)/")
    found = [
        name
        for name in tracked
        if name.endswith((".py", ".md", ".toml")) and home.search((ROOT / name).read_text())
    ]
    assert found == []
