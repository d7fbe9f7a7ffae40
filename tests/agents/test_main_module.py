"""Agents in processes whose class stands in the program itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agentbus import AgentActor, Bus

CLASSES = """
from agentbus import AgentActor, Bus, Message, handles

class Missing(Exception):
    pass

class Add(Message):
    numbers: list[int]

class Look(Message):
    pass

class Sum(Message):
    value: int
    name: str

class Adder(AgentActor):
    def __init__(self, kind: type) -> None:
        self.kind = kind

    @handles
    def add(self, add: Add) -> Sum:
        return Sum(sum(add.numbers), self.kind.__name__)

    @handles(raises=(Missing,))
    def look(self, look: Look) -> None:
        raise Missing("nothing here")
"""
WORK = """
with Bus() as bus:
    adder = bus.spawn(Adder, Sum, process=True)
    answer = adder.ask(Add([1, 2]), timeout=30).get()
    print(type(answer).__name__, answer.value, answer.name)
    try:
        adder.ask(Look(), timeout=30).get()
    except Missing as error:
        print("missing:", error)
"""
GUARDED = CLASSES + '\nif __name__ == "__main__":' + WORK.replace("\n", "\n    ")


def run(*arguments: str, text: str | None = None, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=50, check=False, cwd=folder
    )


@pytest.mark.parametrize("arguments", [["program.py"], ["-m", "program"]])
def test_an_agent_of_a_script_works_in_a_process(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "program.py").write_text(GUARDED)
    done = run(*arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "Sum 3 Sum\nmissing: nothing here\n"), done.stderr


def test_a_script_without_the_guard_is_told_about_it_instead_of_starting_itself_for_ever(
    tmp_path: Path,
) -> None:
    (tmp_path / "program.py").write_text(CLASSES + WORK)
    done = run("program.py", folder=tmp_path)
    assert done.returncode == 1
    assert 'behind `if __name__ == "__main__":`' in done.stderr


def test_a_class_that_was_typed_in_is_refused_at_the_call(tmp_path: Path) -> None:
    done = run("-", text=GUARDED, folder=tmp_path)
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith("TypeError: a process can't import Adder")
    assert "move the class into a module" in said


def test_a_class_inside_a_function_is_refused_at_the_call() -> None:
    class Local(AgentActor):
        pass

    with Bus() as bus, pytest.raises(TypeError, match="top level of a module"):
        bus.spawn(Local, process=True)
