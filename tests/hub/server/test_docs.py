"""The page about running a hub says what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.core import (
    AppConfig,
    DedupeLimits,
    HistoryLimits,
    HistoryRule,
    Limits,
    Mailboxes,
    PublishableKey,
    SecretKey,
)
from agentbus.hub.server.backplanes import BackplaneSettings
from agentbus.hub.server.settings import ServerSettings, parse_settings
from agentbus.protocol import CloseCode, Retry

PAGE = (Path(__file__).parents[3] / "docs" / "hub.md").read_text()
BLOCKS = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
APP = '[[apps]]\nid = "a"\n'
PAIR = APP + '[[apps.secret_keys]]\nid = "sk_id_a"\n'


def load(text: str) -> Any:
    return parse_settings(text, "hub.toml", Path(), {"DEMO_SECRET": "s" * 40})


def defaults(settings: type[msgspec.Struct]) -> dict[str, Any]:
    fields: dict[str, Any] = {field.name: field.default for field in msgspec.structs.fields(settings)}
    fields = {name: value for name, value in fields.items() if value is not msgspec.NODEFAULT}
    return {name: [*value] if isinstance(value, tuple) else value for name, value in fields.items()}


def names(settings: type[msgspec.Struct]) -> set[str]:
    return set(settings.__struct_fields__)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_file_on_the_page_is_taken(block: str) -> None:
    settings = load(block)
    assert len(settings.hub.apps) == 1
    assert settings.warnings == ()


def test_the_page_shows_every_key_and_its_default() -> None:
    shown = tomllib.loads(BLOCKS[1])
    assert shown["server"] == defaults(ServerSettings)
    assert shown["backplane"] == defaults(BackplaneSettings) | {"url": "nats://127.0.0.1:4222"}
    assert shown["limits"] == defaults(Limits)
    assert shown["history"] == defaults(HistoryLimits)
    assert shown["dedupe"] == defaults(DedupeLimits)
    (app,) = shown["apps"]
    assert set(app) == names(AppConfig)
    assert {name: app[name] for name in ("suspended", "max_connections", "max_messages_per_period")} == {
        name: value for name, value in defaults(AppConfig).items() if value is not None and value != []
    }
    assert app["history"][0] == {"pattern": "rooms/**"} | defaults(HistoryRule)
    assert app["mailboxes"] == defaults(Mailboxes)
    assert set(app["publishable_keys"][0]) == names(PublishableKey)
    assert set(app["secret_keys"][0]) == names(SecretKey) - {"secret"} | {"secret_env"}


@pytest.mark.parametrize(
    "text",
    [
        f"[server]\nprot = 7700\n{APP}",
        f'[server]\nlog_level = "loud"\n{APP}',
        f'[server]\ntrusted_proxies = ["proxy"]\n{APP}',
        "",
        PAIR,
        f'{PAIR}secret = "x"\nsecret_env = "Y"\n',
    ],
)
def test_each_mistake_is_said_as_on_the_page(text: str) -> None:
    with pytest.raises(HubConfigError) as refused:
        load(text)
    assert str(refused.value) in PAGE


def test_a_secret_that_the_environment_lacks_is_said_as_on_the_page() -> None:
    with pytest.raises(HubConfigError) as refused:
        parse_settings(BLOCKS[1], "hub.toml", Path(), {})
    assert str(refused.value) in PAGE


def test_close_codes_mean_on_the_page_what_they_mean_to_a_client() -> None:
    rows = re.findall(r"^\| (\d{4}) \| (.*) \| (.*) \|$", PAGE, flags=re.MULTILINE)
    assert {int(code) for code, *_ in rows} >= {4003, 4010, 4011, 4012}
    for number, meaning, then in rows:
        code = CloseCode.of(int(number))
        assert meaning == code.explanation
        assert then.startswith("no retry" if code.retry is Retry.NO else "retry")
        assert ("30 s" in then) == bool(code.retry.floor)
