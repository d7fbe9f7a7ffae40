"""An operator in a real browser sees who comes and disconnects them: by day, by night, on a phone."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from tests.e2e.browser import Tab, browser, chromium
from tests.hub.server.dashboard.browsing import in_channel
from tests.hub.server.door import SECRET
from tests.hub.server.running import running_hub

pytestmark = pytest.mark.e2e
SCREENS = {"light": (1200, 900, "light"), "dark": (1200, 900, "dark"), "phone": (390, 844, "light")}
PNG = b"\x89PNG\r\n\x1a\n"


async def screen(tab: Tab, kind: str) -> None:
    width, height, scheme = SCREENS[kind]
    await tab.call(
        "Emulation.setDeviceMetricsOverride",
        width=width,
        height=height,
        deviceScaleFactor=1,
        mobile=width < 500,
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await tab.call("Emulation.setEmulatedMedia", features=features)


async def photograph(tab: Tab, path: Path) -> None:
    taken = await tab.call("Page.captureScreenshot", captureBeyondViewport=False)
    await asyncio.to_thread(path.write_bytes, base64.b64decode(taken["data"]))


async def seen(tab: Tab, condition: str) -> None:
    """Wait for it, over the change from one page to the next, which takes scripts away while they run."""
    while True:
        try:
            await tab.until(condition)
        except AssertionError as error:
            if "context was destroyed" not in str(error) and "navigated" not in str(error):
                raise
        else:
            return


async def go(tab: Tab, url: str) -> None:
    """Go to another page of the hub, and wait until its script runs."""
    await tab.evaluate("document.documentElement.dataset.left = 'yes'")
    await tab.call("Page.navigate", url=url)
    await seen(
        tab,
        "document.documentElement?.dataset.left === undefined && document.readyState === 'complete'",
    )


async def sign_in(tab: Tab, url: str) -> None:
    await seen(tab, "document.readyState === 'complete' && document.getElementById('secret')")
    await tab.evaluate(f"id.value = 'sk_id_test'; secret.value = {json.dumps(SECRET)}")
    await tab.evaluate("document.forms[0].requestSubmit()")
    await seen(tab, "document.getElementById('state')?.dataset.state === 'live'")


async def operate(program: str, folder: Path) -> None:
    async with running_hub() as server, browser(program, folder / "profile") as tab:
        url = f"http://127.0.0.1:{server.port}"
        await tab.open(url)
        await sign_in(tab, url)
        await go(tab, f"{url}/dashboard/connections")
        await tab.until("document.body.innerText.includes('Nobody is connected')")
        client = await in_channel(server.port, "rooms/lobby")
        await tab.until("document.querySelector('tr[data-key=\"1\"]')?.innerText.includes('rooms/lobby')")
        assert await tab.evaluate("document.querySelector('time').textContent.includes('UTC')") is False
        for kind in SCREENS:
            await screen(tab, kind)
            await photograph(tab, folder / f"{kind}.png")
            assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        ground = "getComputedStyle(document.body).backgroundColor"
        await screen(tab, "dark")
        dark = await tab.evaluate(ground)
        await screen(tab, "light")
        assert await tab.evaluate(ground) != dark
        await tab.evaluate("document.querySelector('td.action button').click()")
        await tab.until("document.getElementById('ask').open")
        assert "peer-1" in await tab.evaluate("document.getElementById('ask').innerText")
        await tab.evaluate("document.querySelector('#ask button[value=yes]').click()")
        await client.until(lambda: client.closed)
        assert client.closed is not None
        assert client.closed[0] == 4020
        await seen(tab, "document.body?.innerText.includes('Disconnected peer-1')")
        assert (folder / "dark.png").read_bytes() != (folder / "light.png").read_bytes()
        assert all((folder / f"{kind}.png").read_bytes().startswith(PNG) for kind in SCREENS)


def test_an_operator_sees_who_comes_and_disconnects_them(tmp_path: Path) -> None:
    program = chromium()
    if program is None:
        pytest.skip("no chromium here: `make setup-services` installs one on Debian")
    asyncio.run(asyncio.wait_for(operate(program, tmp_path), 50))
