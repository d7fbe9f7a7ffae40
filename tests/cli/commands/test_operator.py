"""What commands do with a secret pair: they ask the hub's control plane."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest

from agentbus.client import SignallingClient
from agentbus.hub.server.presets import DEV_SECRET, DEV_SECRET_ID, dev_config
from agentbus.hub.server.tokens import TokenKeys
from tests.cli.conftest import Run

PAIR = f"{DEV_SECRET_ID}:{DEV_SECRET}"


@contextmanager
def peer(run: Run, url: str, name: str, *channels: str) -> Generator[SignallingClient]:
    token = run("token", name, "--dev", "--peer-metadata", '{"n":1.0}').out.strip()
    with SignallingClient(token_provider=lambda: token, url=url) as client:
        for channel in channels:
            client.subscribe(channel).get()
        yield client


@pytest.fixture
def pair(run: Run, monkeypatch: pytest.MonkeyPatch) -> str:
    """The development pair, in the environment; after `run`, which clears that."""
    monkeypatch.setenv("AGENTBUS_SECRET_KEY", PAIR)
    return PAIR


@pytest.mark.usefixtures("pair")
def test_peers_are_asked_for_without_being_seen(run: Run, hub_url: str) -> None:
    with peer(run, hub_url, "alice", "seen/a b"):
        assert run("peers", "seen/a b", "--url", hub_url) == (
            0,
            'alice  {"n":1.0}\n',
            "1 in seen/a b\n",
        )
        answer = run("peers", "seen/a b", "--url", hub_url, "--json").out
        assert answer == '{"peerId":"alice","metadata":{"n":1.0}}\n'


@pytest.mark.usefixtures("pair")
def test_pub_says_to_how_many_it_was_delivered(run: Run, hub_url: str) -> None:
    with peer(run, hub_url, "bob", "told") as client:
        with client.events() as events:
            answer = run("pub", "told", "1.00", "--url", hub_url, "--json")
            assert (answer.code, json.loads(answer.out)) == (
                0,
                {"channel": "told", "sent": 1, "delivered": 1},
            )
            event: Any = events.get(timeout=20)
        assert (event.sender, bytes(event.raw)) == ("system", b"1.00")
        assert run("pub", "told", "1", "--url", hub_url).err == "1 message to told, delivered 1 time\n"


@pytest.mark.usefixtures("pair")
def test_a_message_that_rest_does_not_carry_is_not_sent(run: Run, hub_url: str) -> None:
    code, _, err = run("pub", "told", json.dumps("x" * 40_000), "--url", hub_url)
    assert code == 2
    assert "at most 32768 bytes" in err
    assert run("pub", "told", json.dumps("x" * 40_000), "--url", hub_url, "--key", "pk_live_dev").code == 0


def test_a_kick_needs_no_pair_where_everybody_knows_it(run: Run, hub_url: str) -> None:
    with peer(run, hub_url, "carol"):
        assert run("kick", "carol", "--url", hub_url).err == "1 connection of peer carol closed\n"
    assert run("kick", "carol", "--url", hub_url, "--json").out == '{"peerId":"carol","closed":0}\n'


def test_usage_for_people_and_for_programs(run: Run, hub_url: str) -> None:
    lines = run("usage", "--url", hub_url).out.splitlines()
    assert [line.split()[0] for line in lines] == ["app", "period", "messages", "connections"]
    assert lines[0].split() == ["app", "dev"]
    used = json.loads(run("usage", "--url", hub_url, "--json").out)
    assert (used["appId"], used["plan"]["maxConcurrentConnections"]) == ("dev", 1000)


def test_a_token_may_be_signed_by_the_hub(run: Run, hub_url: str) -> None:
    arguments = ("token", "dave", "--dev", "--url", hub_url, "--channel", "a/*", "--permission", "send")
    record = json.loads(run(*arguments, "--expires", "60", "--metadata", '{"t":1}', "--json").out)
    found = TokenKeys.of(dev_config()).verify(record["token"])
    assert (found.subject, found.channels, found.permissions) == ("dave", ("a/*",), {"send"})
    assert record["peerId"] == "dave"
    refused = run("token", "dave", "--dev", "--url", hub_url, "--expires", "90000")
    assert refused.code == 1
    assert "expiresInSec" in refused.err


# -- which credential counts -------------------------------------------------------------------------------


@pytest.mark.usefixtures("pair")
def test_a_key_or_token_wins_over_a_pair_of_the_environment(run: Run, hub_url: str) -> None:
    assert "this one not counted" in run("peers", "x", "--url", hub_url, "--key", "pk_live_dev").err


def test_a_pair_on_the_command_line_wins_over_a_key_of_the_environment(
    run: Run, hub_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTBUS_KEY", "pk_live_dev")
    assert run("peers", "x", "--url", hub_url, "--secret-key", PAIR).err == "0 in x\n"
    assert run("peers", "x", "--url", hub_url).err == "0 in x, this one not counted\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["peers", "x", "--key", "pk_live_dev", "--secret-key", PAIR], "--secret-key or --key, not both"),
        (["pub", "x", "1", "--token", "a.b.c", "--secret-key", PAIR], "--secret-key or --token, not both"),
        (["usage", "--secret-key", "half"], "a secret pair is ID:SECRET"),
        (["usage", "--secret-key", "sk_id_x:y\r\nX: y"], "holds printable characters alone"),
        (["usage", "--secret-key", "sk_id_x:y\x01"], "holds printable characters alone"),
        (["usage", "--url", "wss://hub.example"], "needs a secret pair"),
        (["kick", "x" * 200], "not a valid peer id"),
        (["usage", "--url", "https://hub.example"], "wss"),
    ],
)
def test_wrong_usage_is_2_and_says_what(run: Run, arguments: list[str], words: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


# -- what goes wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["usage", "--secret-key", "sk_id_x:y"], "does not know this secret pair: give --secret-key"),
        (["usage", "--secret-key", "sk_id_x:😀"], "does not know this secret pair"),
        (["peers", "_system/x", "--secret-key", PAIR], "channel_reserved"),
    ],
)
def test_a_refusal_is_one_line(run: Run, hub_url: str, arguments: list[str], words: str) -> None:
    code, out, err = run(*arguments, "--url", hub_url)
    assert (code, out) == (1, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_hub_that_is_not_there_is_one_line(run: Run) -> None:
    code, _, err = run("usage", "--url", "ws://127.0.0.1:1")
    assert (code, err.count("\n")) == (1, 1)
    assert "nothing listens there" in err


@pytest.fixture
def stranger() -> Generator[Callable[[int, bytes], str]]:
    """A web server that is no hub; call it with what it answers."""
    answer: list[tuple[int, bytes]] = []
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body = answer[0]
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the name that it has
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

        def answers(status: int, body: bytes) -> str:
            answer[:] = [(status, body)]
            return f"ws://127.0.0.1:{server.server_port}"

        yield answers
        server.shutdown()
    assert asked == ["/v1/usage"] * len(asked), "a redirect is not followed: the pair would go elsewhere"


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "not as a hub's control plane does"),
        (200, b"{}", "not as a hub's control plane does"),
        (302, b"", "HTTP status 302"),
        (502, b"<html>", "HTTP status 502"),
        (403, b'{"error":"x\\u001b[31m","message":"y"}', r"(x\x1b[31m): y"),
    ],
)
def test_whoever_is_no_hub_is_told_apart(
    run: Run, stranger: Callable[[int, bytes], str], status: int, body: bytes, words: str
) -> None:
    code, out, err = run("usage", "--url", stranger(status, body))
    assert (code, out) == (1, "")
    assert words in err
