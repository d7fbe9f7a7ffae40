"""`hub.toml`: what it may say, and how each mistake is named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.core import ALL_ACTIONS, AppConfig, HubConfig, Limits, PublishableKey, SecretKey
from agentbus.hub.server.keys import new_publishable_key, new_secret_pair
from agentbus.hub.server.presets import dev_config, embedded_config
from agentbus.hub.server.settings import ServerSettings, Settings, load_settings, parse_settings

SECRET = "sk_secret_0123456789abcdef0123456789abcdef"
APP = '[[apps]]\nid = "demo"\n'
PAIR = APP + '[[apps.secret_keys]]\nid = "sk_id_demo"\n'

FULL = f"""
[server]
host = "0.0.0.0"
port = 0
shutdown_grace = 2
trusted_proxies = ["10.0.0.1", "fd00::1"]
log_level = "debug"
log_format = "json"

[limits]
max_message_size = 1000
channels_per_connection = 5
messages_per_second = 2.5
message_burst = 9
connects_per_minute_per_address = 0
max_backlog_bytes = 100000

[[apps]]
id = "demo"
suspended = true
max_connections = 7
max_messages_per_period = 8
[[apps.publishable_keys]]
key = "pk_live_demo"
channel_patterns = ["rooms/**"]
actions = ["publish", "subscribe"]
allowed_origins = ["https://a.example"]
[[apps.secret_keys]]
id = "sk_id_demo"
secret = "{SECRET}"
channel_patterns = ["**"]
actions = ["publish", "subscribe", "presence", "send"]

[[apps]]
id = "other"
"""


def parse(text: str, environment: Mapping[str, str] | None = None) -> Settings:
    return parse_settings(text, "hub.toml", Path(), environment or {})


def mistake(text: str, environment: Mapping[str, str] | None = None) -> HubConfigError:
    with pytest.raises(HubConfigError) as caught:
        parse(text, environment)
    assert caught.value.source == "hub.toml"
    assert str(caught.value).startswith("hub.toml: ")
    assert "\n" not in str(caught.value)
    return caught.value


def test_everything_that_the_page_lists_can_be_said() -> None:
    settings = parse(FULL)
    assert settings.server == ServerSettings(
        host="0.0.0.0",
        port=0,
        shutdown_grace=2.0,
        trusted_proxies=("10.0.0.1", "fd00::1"),
        log_level="debug",
        log_format="json",
    )
    demo = AppConfig(
        id="demo",
        suspended=True,
        max_connections=7,
        max_messages_per_period=8,
        publishable_keys=(
            PublishableKey(
                key="pk_live_demo",
                channel_patterns=("rooms/**",),
                actions=frozenset(("publish", "subscribe")),
                allowed_origins=("https://a.example",),
            ),
        ),
        secret_keys=(
            SecretKey(id="sk_id_demo", secret=SECRET, channel_patterns=("**",), actions=ALL_ACTIONS),
        ),
    )
    limits = Limits(
        max_message_size=1000,
        channels_per_connection=5,
        messages_per_second=2.5,
        message_burst=9,
        connects_per_minute_per_address=0,
        max_backlog_bytes=100_000,
    )
    assert settings.hub == HubConfig(apps=(demo, AppConfig(id="other")), limits=limits)
    assert settings.warnings == ()


def test_what_is_not_said_has_the_defaults_of_the_page() -> None:
    settings = parse(APP)
    server = settings.server
    assert (server.host, server.port, server.shutdown_grace, server.trusted_proxies) == (
        "127.0.0.1",
        7700,
        5.0,
        (),
    )
    limits = settings.hub.limits
    assert (limits.max_message_size, limits.channels_per_connection) == (65536, 100)
    assert (limits.messages_per_second, limits.message_burst) == (100, 200)
    assert (limits.connects_per_minute_per_address, limits.max_backlog_bytes) == (60, 4194304)
    [app] = settings.hub.apps
    assert (app.suspended, app.max_connections, app.max_messages_per_period) == (False, 1000, 0)


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ("port = 1", "port", "unknown key"),
        ("[server]\nprot = 1", "server.prot", "unknown key"),
        ("[limits]\nmessages = 1", "limits.messages", "unknown key"),
        (APP + "colour = 1", "apps[0].colour", "unknown key"),
        (PAIR + f'secret = "{SECRET}"\nname = 1', "apps[0].secret_keys[0].name", "unknown key"),
        ('[server]\nport = "7700"', "server.port", "expected `int`, got `str`"),
        ("[server]\nport = 65536", "server.port", "expected `int` <= 65535"),
        ("[server]\nport = -1", "server.port", "expected `int` >= 0"),
        ("[server]\nshutdown_grace = inf", "server.shutdown_grace", "expected `float` <= 300.0"),
        (
            '[server]\nlog_level = "loud"',
            "server.log_level",
            "must be one of debug, info, warning, error, critical",
        ),
        ('[server]\nlog_format = "xml"', "server.log_format", "must be one of text, json"),
        (
            '[server]\ntrusted_proxies = ["::1", "proxy"]',
            "server.trusted_proxies[1]",
            'must be an IP address, a network or "unix"',
        ),
        ("[limits]\nmessages_per_second = -1", "limits.messages_per_second", "expected `float` >= 0.0"),
        ("[limits]\nmessages_per_second = nan", "limits.messages_per_second", "expected `float` >= 0.0"),
        ("[limits]\nmessage_burst = 0", "limits.message_burst", "expected `int` >= 1"),
        ("[limits]\nmax_message_size = 65536.5", "limits.max_message_size", "expected `int`, got `float`"),
        ("[[apps]]", "apps[0].id", "is missing"),
        ("apps = 1", "apps", "expected `array`, got `int`"),
        ("[apps]\nid = 'a'", "apps", "expected `array`, got `object`"),
        ("", "apps", "at least one app is needed; make one with `agentbus keys new`"),
        (
            '[[apps]]\nid = "a b"',
            "apps[0].id",
            "must be 1 to 64 letters, digits, dots, dashes or underscores",
        ),
        (APP + "suspended = 1", "apps[0].suspended", "expected `bool`, got `int`"),
        (APP + "max_connections = 0", "apps[0].max_connections", "expected `int` >= 1"),
        (
            APP + '[[apps.publishable_keys]]\nkey = "pk_a"',
            "apps[0].publishable_keys[0].channel_patterns",
            "is missing",
        ),
        (
            APP + '[[apps.publishable_keys]]\nkey = "sk_secret_a"\nchannel_patterns = []',
            "apps[0].publishable_keys[0].key",
            "must be `pk_` and up to 253 printable ASCII characters, no spaces",
        ),
        (
            APP + '[[apps.publishable_keys]]\nkey = "pk_a"\nchannel_patterns = ["a", 1]',
            "apps[0].publishable_keys[0].channel_patterns[1]",
            "expected `str`, got `int`",
        ),
        (
            APP + '[[apps.publishable_keys]]\nkey = "pk_a"\nchannel_patterns = []\nactions = ["send", "fly"]',
            "apps[0].publishable_keys[0].actions[1]",
            "must be one of publish, subscribe, presence, send",
        ),
        (
            APP + '[[apps.secret_keys]]\nid = "sk_id_a:b"\nsecret = "s"',
            "apps[0].secret_keys[0].id",
            "must be `sk_id_` and up to 122 printable ASCII characters, no spaces, no colon",
        ),
        (APP + APP, "apps", "the app id 'demo' is given 2 times"),
        (
            f'{PAIR}secret = "s"\n' + PAIR.replace('"demo"', '"other"') + 'secret = "s"',
            "apps",
            "the secret key id 'sk_id_demo' is given 2 times",
        ),
        (PAIR, "apps[0].secret_keys[0]", "give exactly one of secret, secret_env and secret_file"),
        (
            PAIR + 'secret = "s"\nsecret_env = "S"',
            "apps[0].secret_keys[0]",
            "give exactly one of secret, secret_env and secret_file",
        ),
        (PAIR + 'secret = ""', "apps[0].secret_keys[0].secret", "the secret is empty"),
        (
            PAIR + 'secret_env = "NOPE"',
            "apps[0].secret_keys[0].secret_env",
            "the environment variable NOPE is not set",
        ),
        (
            PAIR + 'secret_file = "no/such/file"',
            "apps[0].secret_keys[0].secret_file",
            "no/such/file: No such file or directory",
        ),
    ],
)
def test_each_mistake_names_its_key_and_its_problem(text: str, key: str, problem: str) -> None:
    found = mistake(text)
    assert (found.key, found.problem) == (key, problem)


def test_what_is_no_toml_names_the_line() -> None:
    found = mistake("[server]\nport = = 1")
    assert found.key == ""
    assert found.problem.startswith("is not TOML: ")
    assert "line 2" in found.problem


def test_no_mistake_repeats_a_secret() -> None:
    for text in (f'secret = ["{SECRET}"]', f'secret_env = "{SECRET}"', f'secret_file = "{SECRET}"'):
        assert SECRET not in str(mistake(PAIR + text))
    for text in (f'secret = "a"\nsecret_env = "{SECRET}"', f'actions = ["{SECRET}"]'):
        assert SECRET not in str(mistake(PAIR + text))
    assert SECRET not in repr(parse(PAIR + f'secret = "{SECRET}"'))


def test_a_secret_may_come_from_the_environment_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET + "\n")
    (tmp_path / "hub.toml").write_text(
        PAIR + 'secret_env = "DEMO"\n[[apps.secret_keys]]\nid = "sk_id_file"\nsecret_file = "secret"'
    )
    [app] = load_settings(tmp_path / "hub.toml", {"DEMO": "sk_secret_of_the_environment_000000000"}).hub.apps
    assert [key.secret for key in app.secret_keys] == ["sk_secret_of_the_environment_000000000", SECRET]


def test_an_empty_secret_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("\n")
    (tmp_path / "hub.toml").write_text(PAIR + 'secret_file = "secret"')
    with pytest.raises(
        HubConfigError, match=r"hub\.toml: apps\[0\]\.secret_keys\[0\]\.secret_file: the secret is empty"
    ):
        load_settings(tmp_path / "hub.toml")


def test_a_short_secret_is_taken_with_a_warning() -> None:
    [warning] = parse(PAIR + 'secret = "short"').warnings
    assert warning.startswith("apps[0].secret_keys[0]: ")
    assert "short" not in warning


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(HubConfigError, match=r"hub\.toml: cannot be read: No such file"):
        load_settings(tmp_path / "hub.toml")
    (tmp_path / "hub.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(HubConfigError, match=r"hub\.toml: is not UTF-8 text"):
        load_settings(tmp_path / "hub.toml")


def test_development_has_known_keys_and_no_rates_and_all_other_rules() -> None:
    config = dev_config()
    [app] = config.apps
    assert app.publishable_keys == (PublishableKey(key="pk_live_dev", channel_patterns=("**",)),)
    [pair] = app.secret_keys
    assert (pair.id, pair.secret) == ("sk_id_dev", "sk_secret_dev_0123456789abcdef0123456789abcdef")
    assert config.limits == Limits(messages_per_second=0, connects_per_minute_per_address=0)


def test_an_embedded_hub_is_reached_by_its_own_keys() -> None:
    pair = SecretKey(id="sk_id_a", secret=SECRET)
    config = embedded_config("pk_a", secret_keys=(pair,), limits=Limits())
    [app] = config.apps
    assert [key.key for key in app.publishable_keys] == ["pk_a"]
    assert app.secret_keys == (pair,)
    assert config.limits == Limits()
    assert embedded_config("pk_a").limits.messages_per_second == 0


def test_fresh_keys_are_accepted_by_a_hub_and_differ() -> None:
    key_id, secret = new_secret_pair()
    text = PAIR.replace("sk_id_demo", key_id) + f'secret = "{secret}"\n'
    text += f'[[apps.publishable_keys]]\nkey = "{new_publishable_key()}"\nchannel_patterns = ["**"]'
    assert parse(text).warnings == ()
    assert new_publishable_key() != new_publishable_key()
    assert new_secret_pair() != new_secret_pair()
