"""The code in docs/testing.md runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "testing.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_a_block_runs(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    scope: dict[str, Any] = {"__name__": f"docs_testing_{number}"}
    code = compile(f"from __future__ import annotations\n{BLOCKS[number]}", str(PAGE), "exec")
    exec(code, scope)
    assert "Traceback" not in capsys.readouterr().err


def test_there_are_blocks() -> None:
    assert len(BLOCKS) == 4
