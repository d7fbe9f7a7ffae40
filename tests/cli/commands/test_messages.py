"""`pub`, `send`, `sub` and `peers` against a hub."""

from __future__ import annotations

import gc
import io
from collections.abc import Generator
from typing import Any

import msgspec
import pytest

from agentbus.client import ChannelMessage, DirectMessage, SignallingClient
from tests.cli.conftest import Run


@pytest.fixture
def listener(hub_url: str) -> Generator[SignallingClient]:
    with SignallingClient(api_key="pk_live_dev", url=hub_url) as client:
        yield client


def feed(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))


def test_pub_sends_the_very_bytes_that_were_given(run: Run, hub_url: str, listener: SignallingClient) -> None:
    events = listener.events(ChannelMessage)
    listener.subscribe("pub/one").get(timeout=5)
    code, out, err = run("pub", "pub/one", '{"n": 1.50, "t": "ü"}', "--url", hub_url)
    assert (code, out, err) == (0, "", "1 message to pub/one\n")
    assert events.get(timeout=5).raw == '{"n": 1.50, "t": "ü"}'.encode()


def test_pub_reads_one_message_per_line(
    run: Run, hub_url: str, listener: SignallingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = listener.events(ChannelMessage)
    listener.subscribe("pub/many").get(timeout=5)
    feed(monkeypatch, b"".join(b"%d\n\n" % i for i in range(150)))
    code, out, err = run("pub", "pub/many", "-", "--json", "--url", hub_url)
    assert (code, err) == (0, "")
    assert msgspec.json.decode(out) == {"channel": "pub/many", "sent": 150}
    assert [events.get(timeout=5).data for _ in range(150)] == list(range(150))


def test_a_line_that_is_no_json_is_named_once_what_came_before_it_has_arrived(
    run: Run,
    hub_url: str,
    listener: SignallingClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    events = listener.events(ChannelMessage)
    listener.subscribe("pub/bad").get(timeout=5)
    feed(monkeypatch, b"1\n2\nnope\n3\n")
    code, _, err = run("pub", "pub/bad", "-", "--url", hub_url)
    assert code == 2
    assert "line 3 is not JSON" in err
    assert "; 2 messages were sent before it, nothing after it" in err
    assert [events.get(timeout=5).data for _ in range(2)] == [1, 2]
    gc.collect()
    assert "nobody looked at it" not in caplog.text


def test_of_many_refused_messages_one_is_told(
    run: Run, hub_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed(monkeypatch, b"1\n2\n3\n")
    code, _, err = run("pub", "_metered/x", "-", "--url", hub_url)
    assert code == 1
    assert err.count("\n") == 1
    gc.collect()
    assert "nobody looked at it" not in caplog.text


def test_text_without_quotes_gets_a_hint(run: Run, hub_url: str) -> None:
    code, _, err = run("pub", "pub/bad", "hello", "--url", hub_url)
    assert code == 2
    assert "text needs quotes" in err
    assert "before it" not in err


def test_send_reaches_one_peer(run: Run, hub_url: str, listener: SignallingClient) -> None:
    events = listener.events(DirectMessage)
    assert listener.peer_id is not None
    ran = run("send", listener.peer_id, "[1]", "--url", hub_url)
    assert (ran.code, ran.out) == (0, "")
    assert events.get(timeout=5).data == [1]


def test_what_the_hub_refuses_is_1_with_its_code(run: Run, hub_url: str) -> None:
    code, _, err = run("send", "nobody", "1", "--url", hub_url)
    assert code == 1
    assert "peer_not_found" in err


def test_a_key_that_the_hub_does_not_know_is_1_with_its_meaning(run: Run, hub_url: str) -> None:
    code, _, err = run("pub", "room", "1", "--key", "pk_live_wrong", "--url", hub_url)
    assert code == 1
    assert "closed with 4001" in err
    assert "pk_live_wrong" not in err


def test_peers_lists_who_is_there(run: Run, hub_url: str, listener: SignallingClient) -> None:
    assert "0 in peers/room" in run("peers", "peers/room", "--url", hub_url).err
    listener.subscribe("peers/room").get(timeout=5)
    assert run("peers", "peers/room", "--url", hub_url).out == f"{listener.peer_id}\n"
    ran = run("peers", "peers/room", "--json", "--url", hub_url)
    assert msgspec.json.decode(ran.out) == {"peerId": listener.peer_id, "metadata": None}


def test_sub_prints_presence_and_direct_messages_as_json(
    run: Run, hub_url: str, listener: SignallingClient
) -> None:
    listener.subscribe("sub/room").get(timeout=5)

    def greet(event: Any) -> None:
        for peer in event.joined:
            listener.send(peer.peer_id, {"hello": "\u202e"})
            listener.publish("sub/room", 7)

    listener.on_presence.subscribe(greet)
    arguments = ("sub", "sub/room", "--presence", "--direct", "--json", "-n", "3", "--url", hub_url)
    code, out, err = run(*arguments)
    assert code == 0
    assert "connected as" in err
    assert "\\u202e" in out
    lines = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [line["type"] for line in lines] == ["presence", "direct", "message"]
    assert [peer["peerId"] for peer in lines[0]["joined"]] == [listener.peer_id]
    assert lines[1] == {"type": "direct", "from": listener.peer_id, "data": {"hello": "\u202e"}}
    assert lines[2] == {"type": "message", "channel": "sub/room", "from": listener.peer_id, "data": 7}


def test_sub_prints_lines_for_people(run: Run, hub_url: str, listener: SignallingClient) -> None:
    listener.subscribe("sub/text").get(timeout=5)

    def greet(event: Any) -> None:
        if event.joined and not event.is_snapshot:
            listener.publish("sub/text", {"a": [1, 2]})

    listener.on_presence.subscribe(greet)
    ran = run("sub", "sub/text", "-n", "1", "--url", hub_url)
    assert ran.out == f'sub/text  {listener.peer_id}  {{"a":[1,2]}}\n'
