"""A headless Chromium, driven by its own protocol."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """Find one on the path."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """A page of a browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._session: str | None = None

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command; gives its result."""
        number = next(self._numbers)
        command: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        await self._connection.send(json.dumps(command))
        while True:
            answer: dict[str, Any] = json.loads(await self._connection.recv())
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]

    async def open(self, url: str) -> None:
        """Go to a page; scripts run in it from now on, whether it is loaded or not."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        await self.call("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Give what JavaScript gives; promises are awaited."""
        result = await self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, condition: str) -> None:
        """Wait for JavaScript to become true."""
        await self.evaluate(
            f"""new Promise(done => {{
                const look = () => {{ if ({condition}) done(true); else setTimeout(look, 20); }};
                look();
            }})"""
        )


@asynccontextmanager
async def browser(program: str, profile: Path) -> AsyncGenerator[Tab]:
    """Run a browser while the block runs."""
    options = ["--headless=new", "--disable-gpu", "--remote-debugging-port=0", f"--user-data-dir={profile}"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # it refuses to run as root with one
    process = await asyncio.create_subprocess_exec(program, *options, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    try:
        line = b""
        while not line.startswith(b"DevTools listening on "):
            line = await process.stderr.readline()
            assert line, "the browser did not start"
        async with connect(line.decode().split()[-1], max_size=None, proxy=None) as connection:
            yield Tab(connection)
    finally:
        process.kill()
        await process.communicate()
