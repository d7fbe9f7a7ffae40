"""The code in docs/llm.md runs as it stands, against a local endpoint."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentbus import Future
from agents_examples.local_model import Message, endpoint

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "llm.md"


def script(talk: list[Message]) -> str | Message:
    """Say what the page expects."""
    last = talk[-1]
    if last["role"] == "tool":
        return f"Yes: {last['content']}."
    if "umbrella" in last["content"]:
        return {"name": "weather", "arguments": {"city": "Bergen"}}
    return "hello to you"


@contextmanager
def served() -> Generator[str]:
    """Run the endpoint in a thread; gives its URL."""
    loop, ready = asyncio.new_event_loop(), Future[str]()
    stopping = asyncio.Event()

    async def serve() -> None:
        async with endpoint(script) as url:
            ready.set(url)
            await stopping.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield ready.get(timeout=10)
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(timeout=10)
        loop.close()


def test_the_code_on_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 5
    page = tmp_path / "page.py"
    page.write_text("\n".join(blocks))
    with served() as url:
        environment = os.environ | {"OPENAI_BASE_URL": url, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(page)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=45, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
