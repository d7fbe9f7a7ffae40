"""Which processes are the command; `tests/e2e/test_cli.py` interrupts it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from agentbus.starting import is_command


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("python /opt/bin/agentbus sub room", True),
        ("python -m agentbus sub room", True),
        ("python -X utf8 -u -m agentbus", True),
        ("python -m agentbus.agents.worker shop:Cashier", False),
        ("python -m shop agentbus", False),
        ("python shop.py -m agentbus", False),
        ("python -c pass", False),
        ("python", False),
    ],
)
def test_the_command_is_told_by_its_line(line: str, is_one: bool) -> None:
    assert is_command(line.split()) is is_one


def test_a_program_that_uses_the_package_is_interrupted_as_before() -> None:
    program = "import signal, agentbus; print(signal.getsignal(2) is signal.default_int_handler)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
