"""SIGHUP reads the configuration again: what is taken, what is refused, what takes a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from agentbus.hub.core import AppConfig, HubConfig
from agentbus.hub.server.reload import Reloader, Source, differences, needs_restart
from agentbus.hub.server.settings import ServerSettings, Settings, load_settings

APP = '[[apps]]\nid = "a"\n'
KEY = '[[apps.publishable_keys]]\nkey = "pk_{}"\nchannel_patterns = ["**"]\n'
PAIR = '[[apps.secret_keys]]\nid = "sk_id_a"\nsecret = "sk_secret_{}_0123456789abcdef0123456789"\n'


class File:
    """A configuration that changes, and what a reloader makes of it."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.write(text)
        first = self.load()
        self.applied: list[HubConfig] = []
        self.reloader = Reloader(Source(self.load, first), self.applied.append)

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def load(self) -> Settings:
        return load_settings(self.path, {})


@pytest.fixture
def file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> File:
    caplog.set_level(logging.INFO, "agentbus.hub")
    return File(tmp_path / "hub.toml", APP + KEY.format("one"))


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(main, 30))


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_what_has_changed_is_applied_and_said_in_one_line(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    file.write("[limits]\nmessage_burst = 9\n" + APP + KEY.format("two") + KEY.format("three"))
    run(file.reloader.reload())
    assert [config.limits.message_burst for config in file.applied] == [9]
    changes = "app a: 2 keys added; app a: 1 key revoked; limits changed: message_burst"
    assert lines(caplog) == [("INFO", f"configuration reloaded: {changes}")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[apps]", "is not TOML"),
        ('[[apps]]\nid = "a"\nsecret = "sk_secret_x"\n', "apps[0].secret: unknown key"),
        (APP + APP, "the app id 'a' is given 2 times"),
        (
            APP + PAIR.format("x").replace("secret =", "secret_env =").replace('"sk_secret', '"ENV'),
            "is not set",
        ),
        ("", "at least one app is needed"),
        ("a = " + "[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_bad_file_is_refused_in_one_line_and_nothing_changes(
    file: File, caplog: pytest.LogCaptureFixture, text: str, problem: str
) -> None:
    file.write(text)
    run(file.reloader.reload())
    assert file.applied == []
    [(level, line)] = lines(caplog)
    assert level == "ERROR"
    assert line.startswith("the new configuration is refused, the old one goes on: ")
    assert str(file.path) in line
    assert problem in line
    assert "\n" not in line


def test_a_file_that_is_gone_changes_nothing(file: File, caplog: pytest.LogCaptureFixture) -> None:
    file.path.unlink()
    run(file.reloader.reload())
    assert file.applied == []
    assert "cannot be read" in caplog.text


def test_what_only_a_restart_takes_is_named_each_time(file: File, caplog: pytest.LogCaptureFixture) -> None:
    file.write('[server]\nport = 7701\nhost = "127.0.0.2"\n' + APP + KEY.format("one"))
    for _ in range(2):
        caplog.clear()
        run(file.reloader.reload())
        assert lines(caplog) == [
            (
                "WARNING",
                "a change of server.host, server.port takes a restart of the hub; it goes on as before",
            ),
            ("INFO", "configuration reloaded: nothing has changed"),
        ]


def test_a_short_secret_is_warned_of_again(file: File, caplog: pytest.LogCaptureFixture) -> None:
    file.write(APP + '[[apps.secret_keys]]\nid = "sk_id_a"\nsecret = "short"\n')
    run(file.reloader.reload())
    assert "less than 32 bytes" in caplog.text
    assert "short" not in caplog.text.replace("shorter", "")
    assert len(file.applied) == 1


def test_many_signals_during_a_reload_are_one_more_reload(file: File) -> None:
    async def main() -> None:
        for _ in range(5):
            file.reloader.request()
        await asyncio.sleep(0)  # it has begun to read
        for _ in range(5):
            file.reloader.request()
        await file.reloader.finished()
        assert len(file.applied) == 2

    run(main())


def test_a_failure_of_the_hubs_own_is_logged_and_the_next_reload_goes_on(
    file: File, caplog: pytest.LogCaptureFixture
) -> None:
    applied: list[HubConfig] = []

    def apply(config: HubConfig) -> None:
        applied.append(config)
        if len(applied) == 1:
            raise ZeroDivisionError

    async def main() -> None:
        reloader = Reloader(Source(file.load, file.load()), apply)
        for _ in range(2):
            reloader.request()
            await reloader.finished()

    run(main())
    assert "ZeroDivisionError" in caplog.text
    assert len(applied) == 2


def test_differences_name_no_key_and_no_secret(tmp_path: Path) -> None:
    before = File(tmp_path / "hub.toml", APP + PAIR.format("old")).load().hub
    after = (
        File(
            tmp_path / "hub.toml",
            APP + "suspended = true\nmax_connections = 7\n" + PAIR.format("new") + '[[apps]]\nid = "b"\n',
        )
        .load()
        .hub
    )
    said = list(differences(before, after))
    assert said == ["app b added", "app a suspended", "app a: 1 key changed", "app a: its limits changed"]
    assert list(differences(after, before))[:2] == ["app b removed", "app a no longer suspended"]


def test_what_is_not_taken_up_takes_a_restart() -> None:
    started = Settings(server=ServerSettings(), hub=HubConfig(apps=(AppConfig(id="a"),)))
    assert needs_restart(started, started) == []
    other = Settings(
        server=ServerSettings(log_level="debug"),
        hub=HubConfig(extensions=(), apps=(AppConfig(id="b"), AppConfig(id="a", suspended=True))),
    )
    assert needs_restart(started, other) == ["server.log_level", "extensions"]
