"""Ids and log lines of HTTP requests."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator

import pytest

from agentbus.hub.server.journal import LINES_PER_WINDOW, WINDOW
from agentbus.runtime.virtual import VirtualLoop
from tests.hub.server.door import Caller, Door

LOGGER = "agentbus.hub.requests"


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def request_id(caller: Caller) -> str:
    found = re.search(rb"\r\nx-request-id: (\S+)\r\n", caller.data, re.IGNORECASE)
    assert found
    return found[1].decode()


def test_every_answer_has_an_id_of_its_own_which_its_line_names(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    door = Door(loop)
    first = door.get("/v1?token=secret", address="203.0.113.7")
    second = door.get("/v1")
    assert request_id(first) != request_id(second)
    line = caplog.messages[0]
    assert f"request={request_id(first)} address=203.0.113.7 method=GET path=/v1 status=426" in line
    assert "secret" not in caplog.text


def test_an_id_is_taken_from_a_trusted_proxy_and_from_nobody_else(loop: VirtualLoop) -> None:
    door = Door(loop, trusted_proxies=("10.0.0.1",))
    header = "X-Request-Id: from-the-proxy.1\r\n"
    assert request_id(door.get("/healthz", header, "10.0.0.1")) == "from-the-proxy.1"
    assert request_id(door.get("/healthz", header, "10.0.0.2")) != "from-the-proxy.1"
    assert " " not in request_id(door.get("/healthz", "X-Request-Id: a b\r\n", "10.0.0.1"))


def test_routine_requests_are_of_level_debug(loop: VirtualLoop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    door = Door(loop)
    for path in ("/healthz", "/readyz", "/metrics"):
        door.get(path)
    assert caplog.messages == []


def test_a_flood_of_refused_requests_leaves_few_lines_and_a_sum(
    loop: VirtualLoop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOGGER)
    door = Door(loop)
    for number in range(100):
        door.get(f"/{number}")
    assert len(caplog.messages) == LINES_PER_WINDOW
    loop.advance(WINDOW + 1)
    door.get("/last")
    assert caplog.messages[LINES_PER_WINDOW:] == [
        f"more requests refused: 404={100 - LINES_PER_WINDOW}",
        caplog.messages[-1],
    ]
    assert "path=/last" in caplog.messages[-1]
