"""The hub's log of connections: one line per life, few for a flood, and no secret in any."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from agentbus.cli.logs import JsonLines, TextLines
from agentbus.hub.server.journal import LINES_PER_WINDOW, MOST_REASONS, WINDOW, RefusalWindow, as_text
from agentbus.hub.server.tokens import mint
from agentbus.runtime.virtual import VirtualLoop
from tests.hub.server.door import SECRET, Door, app, say, text_frame

LOGGER = "agentbus.hub.connections"


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == LOGGER]


def test_a_connection_leaves_one_line_when_it_is_over(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    door = Door(loop)
    caller = door.upgrade(address="203.0.113.7")
    ping = text_frame(b'{"type":"ping"}')
    caller.write(ping * 2)
    loop.advance(12.5)
    assert lines(caplog) == []
    caller.write(b"\x88\x82" + bytes(4) + b"\x03\xe8")
    loop.advance(1)
    [record] = lines(caplog)
    facts = json.loads(JsonLines().format(record))
    out = facts.pop("bytes_out")
    assert out > 100
    assert {name: facts[name] for name in list(facts) if name not in {"time", "message"}} == {
        "level": "info",
        "logger": LOGGER,
        "connection": 1,
        "address": "203.0.113.7",
        "app": "test",
        "peer": "peer-1",
        "credential": "key",
        "seconds": 12.5,
        "frames_in": 2,
        "bytes_in": 2 * len(ping) + 8,
        "frames_out": 4,
        "code": 1000,
        "ended_by": "client",
    }
    text = TextLines().format(record)
    assert (
        "INFO agentbus.hub.connections: connection ended: connection=1 address=203.0.113.7 app=test" in text
    )


@pytest.mark.parametrize(
    ("how", "code", "by"),
    [("abort", 1006, "network"), ("silence", 1006, "silence"), ("kick", 4020, "hub"), ("rate", 4011, "hub")],
)
def test_the_line_says_who_ended_it(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture, how: str, code: int, by: str
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    door = Door(loop, app())
    token = mint("sk_id_test", SECRET, subject="a = b", issued_at=door.shell.now().wall)
    caller = door.upgrade(f"token={token}")
    assert caller.transport is not None
    match how:
        case "abort":
            caller.transport.abort()
        case "silence":
            caller.transport.pause_reading()
            loop.advance(41)
        case "kick":
            door.shell.execute(door.shell.hub.disconnect_peer("test", "a = b", door.shell.now()))
        case _:
            caller.write(text_frame(b'{"type":"ping"}') * 201)
    loop.advance(5)
    [record] = lines(caplog)
    facts = getattr(record, "facts")  # noqa: B009 -- what `extra` brought
    assert (facts["code"], facts["ended_by"], facts["credential"]) == (code, by, "token")
    assert 'peer="a = b"' in record.getMessage()


def test_a_flood_of_refusals_leaves_few_lines_and_one_sum(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    door = Door(loop)
    for number in range(500):
        door.upgrade("key=pk_live_wrong", address=f"198.51.100.{number % 4}")
        loop.run_until_idle()
    loop.advance(WINDOW + 5)
    found = [record.getMessage() for record in lines(caplog)]
    assert len(found) <= 2 * LINES_PER_WINDOW + 2
    assert found[0] == "connection refused: reason=4001 address=198.51.100.0"
    total = 0
    for record in lines(caplog):
        facts = getattr(record, "facts")  # noqa: B009 -- what `extra` brought
        total += sum(facts["refused"].values()) if "refused" in facts else 1
    assert total == 500, "every one is in a line or in a sum"


def test_a_window_tells_the_first_few_and_then_only_how_many() -> None:
    window = RefusalWindow(lines=2, window=10.0)
    assert [window.tell("429", time) for time in (0.0, 1.0, 2.0, 9.9)] == [True, True, False, False]
    assert not window.tell("429", 10.0), "nothing is told before the sum"
    assert window.take() == {"429": 3}
    assert window.tell("429", 10.0)


def test_the_reasons_of_a_sum_are_bounded() -> None:
    window = RefusalWindow(lines=0)
    for number in range(1000):
        window.tell(str(number), 1.0)
    assert len(window.take()) == MOST_REASONS + 1


def test_facts_are_written_so_that_nobody_can_forge_one() -> None:
    assert as_text({"peer": "x ended_by=hub", "n": 1, "q": 'a"b'}) == 'peer="x ended_by=hub" n=1 q="a\\"b"'


def test_no_secret_is_in_any_line_at_any_level(loop: VirtualLoop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    door = Door(loop, metrics_token="metrics-secret-token")
    token = mint("sk_id_test", SECRET, subject="alice", issued_at=door.shell.now().wall)
    secrets = ["pk_live_test", "pk_live_wrong", token, "sk_secret", "metrics-secret-token", "private data"]
    for query in ("key=pk_live_test", "key=pk_live_wrong", f"token={token}", f"token={token}x"):
        caller = door.upgrade(query, headers="Authorization: Bearer sk_id_a:sk_secret_b\r\n")
        say(caller, "publish", channel="c", data="private data")
        caller.write(b"\x83\x80" + bytes(4))  # a reserved opcode
        loop.advance(5)
    door.get("/metrics", "Authorization: Bearer metrics-secret-token\r\n")
    door.call(f"GET /v1?token={token} HTTP/9.9\r\n\r\n".encode())
    loop.advance(30)
    text = "\n".join(JsonLines().format(record) for record in caplog.records)
    assert len(lines(caplog)) >= 4
    assert [secret for secret in secrets if secret in text] == []
