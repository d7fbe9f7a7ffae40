"""The keys of `[server]` that name files, secrets and proxies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from agentbus.errors import HubConfigError
from agentbus.hub.server.settings import ServerSettings, parse_settings

APP = '[[apps]]\nid = "demo"\n'
TOKEN = "metrics-token-of-16-and-more"


def server(text: str, folder: Path, environment: Mapping[str, str] | None = None) -> ServerSettings:
    return parse_settings(f"[server]\n{text}\n{APP}", "hub.toml", folder, environment or {}).server


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = server('tls_cert = "c.pem"\ntls_key = "/etc/k.pem"\nuds = "hub.sock"', tmp_path)
    assert (found.tls_cert, found.tls_key) == (str(tmp_path / "c.pem"), "/etc/k.pem")
    assert found.uds == str(tmp_path / "hub.sock")
    assert (server("", tmp_path).tls_cert, server("", tmp_path).uds) == ("", "")


@pytest.mark.parametrize(
    "text",
    [f'metrics_token = "{TOKEN}"', 'metrics_token_env = "TOKEN"', 'metrics_token_file = "token"'],
)
def test_the_metrics_token_comes_from_the_file_the_environment_or_a_file_of_its_own(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = server(text, tmp_path, {"TOKEN": TOKEN})
    assert found.metrics_token == TOKEN
    assert TOKEN not in repr(found)


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('tls_cert = "c.pem"', "server.tls_key", "a certificate and a key belong together"),
        ('tls_key = "k.pem"', "server.tls_cert", "a certificate and a key belong together"),
        ('uds_mode = "rw"', "server.uds_mode", 'must be three octal digits, such as "660"'),
        ('metrics_token = "short"', "server.metrics_token", "16 or more printable ASCII characters"),
        ('metrics_token_env = "NO"', "server.metrics_token_env", "that environment variable is not set"),
        ('metrics_token_file = "no"', "server.metrics_token_file", "that file can't be read"),
        (f'metrics_token = "{TOKEN}"\nmetrics_token_env = "A"', "server.metrics_token", "at most"),
        ('trusted_proxies = ["unix", "10.0.0.0/8", "10.0.0.0/99"]', "server.trusted_proxies[2]", "a network"),
        ("max_unauthenticated = 0", "server.max_unauthenticated", "expected `int` >= 1"),
    ],
)
def test_a_mistake_is_named_by_its_key_and_never_by_its_value(
    tmp_path: Path, text: str, key: str, problem: str
) -> None:
    with pytest.raises(HubConfigError, match=r"hub\.toml") as refused:
        server(text, tmp_path)
    assert f"{key}: " in str(refused.value)
    assert problem in str(refused.value)
    assert "short" not in str(refused.value)
