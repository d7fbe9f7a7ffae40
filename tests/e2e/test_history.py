"""A history on a disk and `kill -9`: a real hub process, killed while it is used."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from agentbus import ChannelMessage, ConnectedEvent, MessagesMissed, ReconnectOptions, SignallingClient

pytestmark = pytest.mark.e2e
KEY = "pk_live_history"
ROOM = "rooms/1"
QUICK = ReconnectOptions(initial_delay=0.1, multiplier=1.0, jitter_ratio=0.0, max_attempts=1000)
PATIENCE = 30.0
CONFIG = f"""
[limits]
messages_per_second = 0
connects_per_minute_per_address = 0

[[apps]]
id = "a"

[[apps.publishable_keys]]
key = "{KEY}"
channel_patterns = ["rooms/**"]

[[apps.history]]
pattern = "rooms/**"
"""


class Heard:
    """What a listener was told, in order."""

    def __init__(self, client: SignallingClient) -> None:
        self.all: list[object] = []
        self._more = threading.Condition()
        client.on(ChannelMessage)(self._message)
        client.on(MessagesMissed)(self._keep)

    def _message(self, event: ChannelMessage) -> None:
        self._keep(event.data)

    def _keep(self, what: object) -> None:
        with self._more:
            self.all.append(what)
            self._more.notify_all()

    def until(self, enough: Callable[[list[object]], bool]) -> list[object]:
        with self._more:
            assert self._more.wait_for(lambda: enough(self.all), PATIENCE), self.all
            return self.all


@contextlib.contextmanager
def hub(folder: Path, port: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    (folder / "hub.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "agentbus", "serve", "--port", port]
    arguments = ["--config", str(folder / "hub.toml"), "--data-dir", str(folder / "data")]
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        yield process, process.stderr.readline().split()[-1]
    finally:
        process.kill()
        process.communicate()


def all_is_written(data: Path) -> bool:
    (count,) = struct.unpack("<Q", (data / "history.count").read_bytes())
    with contextlib.closing(sqlite3.connect(data / "history.sqlite3")) as database:
        return database.execute("SELECT value FROM facts WHERE name = 'count'").fetchone() == (str(count),)


def test_a_hub_that_was_killed_goes_on_with_its_histories_if_all_was_written(tmp_path: Path) -> None:
    def client(url: str) -> SignallingClient:
        return SignallingClient(api_key=KEY, url=url, reconnect=QUICK)

    with hub(tmp_path, "0") as (process, url), client(url) as ann, client(url) as bob:
        heard, back = Heard(bob), threading.Event()

        @ann.on(ConnectedEvent)
        def welcomed(event: ConnectedEvent) -> None:
            if event.is_reconnect:
                back.set()

        bob.subscribe(ROOM).get(timeout=PATIENCE)
        for number in range(100):
            ann.publish(ROOM, number, retry=True).get(timeout=PATIENCE)
        heard.until(lambda all_: 99 in all_)
        pause = threading.Event()
        while not all_is_written(tmp_path / "data"):
            pause.wait(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=PATIENCE)
        with hub(tmp_path, url.rpartition(":")[2]):
            assert back.wait(PATIENCE)
            for number in range(100, 200):
                ann.publish(ROOM, number, retry=True).get(timeout=PATIENCE)
            assert heard.until(lambda all_: 199 in all_) == list(range(200))
