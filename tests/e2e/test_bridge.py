"""A person in a real browser, with the official SDK, talks to agents in a chat room."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.browser import browser, chromium

ROOT = Path(__file__).resolve().parents[2]
SDK = "@metered-ca/realtime@1.2.0"
pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture
def sdk(tmp_path: Path) -> Path:
    """Get the SDK from the registry."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing: it fetches the SDK")
    command = [npm, "pack", "--json", SDK]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    if done.returncode != 0:
        pytest.skip(f"npm could not fetch {SDK}")
    shutil.unpack_archive(tmp_path / json.loads(done.stdout)[0]["filename"], tmp_path, filter="data")
    return tmp_path / "package" / "dist" / "index.umd.js"


async def talk(program: str, sdk: Path, profile: Path) -> list[str]:
    """Say two things in the page; gives the lines that it shows then."""
    command = [sys.executable, "-m", "agents_examples.bridge", "--serve"]
    environment = os.environ | {"REALTIME_SDK": str(sdk)}
    server = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=environment, stdout=asyncio.subprocess.PIPE
    )
    assert server.stdout is not None
    try:
        url = (await server.stdout.readline()).decode().split()[-1]
        async with browser(program, profile) as tab:
            await tab.open(url)
            await tab.until("document.body?.dataset.ready === 'yes'")
            for number, text in enumerate(("@counter how long is this?", "@echo <b>hello</b>"), 1):
                await tab.evaluate(f"form.text.value = {json.dumps(text)}; form.requestSubmit()")
                await tab.until(f"document.querySelectorAll('li').length === {2 * number}")
            return await tab.evaluate("[...document.querySelectorAll('li')].map(line => line.textContent)")
    finally:
        server.terminate()
        await server.communicate()


def test_a_person_in_a_browser_talks_to_agents(sdk: Path, tmp_path: Path) -> None:
    program = chromium()
    if program is None:
        pytest.skip("no chromium here: `make setup-services` installs one on Debian")
    lines = asyncio.run(asyncio.wait_for(talk(program, sdk, tmp_path / "profile"), 50))
    assert lines == [
        "Ada: @counter how long is this?",
        "counter: Ada, that has 4 words",
        "Ada: @echo <b>hello</b>",
        "echo: <B>HELLO</B>",
    ]
