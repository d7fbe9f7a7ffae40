from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentbus.client import SignallingClient
from agentbus.hub.server.presets import dev_config
from agentbus.hub.server.tokens import TokenKeys
from tests.cli.conftest import Run


def claims(token: str) -> Any:
    return TokenKeys.of(dev_config()).verify(token.strip())


def test_a_token_for_a_development_hub(run: Run) -> None:
    arguments = ("--channel", "a/*", "--channel", "b", "--permission", "publish", "--expires", "60")
    found = claims(run("token", "peer-1", "--dev", "--metadata", '{"turn": 1}', *arguments).out)
    assert (found.subject, found.channels, found.permissions) == ("peer-1", ("a/*", "b"), {"publish"})
    assert abs(found.expires_at - time.time() - 60) < 5
    assert msgspec.json.decode(found.metadata) == {"turn": 1}


def test_as_json_it_says_for_whom_and_until_when(run: Run) -> None:
    record = msgspec.json.decode(run("token", "p", "--dev", "--json").out)
    assert (record["peerId"], claims(record["token"]).subject) == ("p", "p")
    assert record["expiresAt"] == pytest.approx(time.time() + 3600, abs=5)


def test_a_nodes_token_says_so_to_its_peers(run: Run) -> None:
    arguments = ("--node", "--namespace", "prod", "--peer-metadata", '{"zone": "eu"}')
    found = claims(run("token", "n", "--dev", *arguments).out)
    assert msgspec.json.decode(found.peer_metadata) == {
        "zone": "eu",
        "agentbus": {"ns": ["prod"], "role": "node"},
    }


def test_the_pair_comes_from_the_environment_or_a_configuration(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTBUS_SECRET_KEY", "sk_id_dev:sk_secret_dev_0123456789abcdef0123456789abcdef")
    assert claims(run("token", "p").out).subject == "p"
    run("keys", "init", str(tmp_path / "hub.toml"))
    assert run("token", "p", "--config", str(tmp_path / "hub.toml")).code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["p"], "name the signing pair"),
        (["p", "--secret-key", "half"], "name the signing pair"),
        (["ü", "--dev"], "not a valid peer id"),
        (["p", "--dev", "--permission", "fly"], "--permission"),
        (["p", "--dev", "--metadata", "[1]"], "--metadata: not a JSON object"),
        (["p", "--dev", "--namespace", "x"], "belongs to --node"),
        (["p", "--dev", "--config", "x"], "exclude each other"),
        (["p", "--dev", "--peer-metadata", '{"a": "' + "x" * 5000 + '"}'], "would refuse"),
        (["p", "--config", "missing.toml"], "missing.toml"),
    ],
)
def test_wrong_usage_is_2_and_says_what(run: Run, arguments: list[str], words: str) -> None:
    code, out, err = run("token", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_the_hub_lets_its_bearer_in(run: Run, hub_url: str) -> None:
    token = run("token", "bearer", "--dev").out.strip()
    with SignallingClient(token_provider=lambda: token, url=hub_url) as client:
        assert client.peer_id == "bearer"
