"""What `/metrics` counts, who may read it, and that the dashboard asks for what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentbus.hub.server.latency import BOUNDS, SAMPLE_INTERVAL, Handover
from agentbus.runtime.virtual import VirtualLoop
from tests.hub.server.door import METRICS_TOKEN, Door, app, say, text_frame, texts_of

ROOT = Path(__file__).parents[3]
GRAFANA = ROOT / "deploy" / "grafana" / "agentbus.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PING = text_frame(b'{"type":"ping"}')


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def test_the_page_counts_what_happened(loop: VirtualLoop) -> None:
    door = Door(loop, app(), app("other", "pk_other"))
    alice, bob, carol = (door.upgrade() for _ in range(3))
    for caller in (bob, carol):
        say(caller, "subscribe", channel="c")
    loop.run_until_idle()
    say(alice, "publish", channel="c", data=1)
    say(bob, "publish", channel="c", data=2)
    say(alice, "send", to="peer-2", data=3)
    say(alice, "send", to="nobody", data=3)
    door.upgrade("key=pk_live_wrong")
    door.upgrade("key=pk_other")
    loop.advance(5)
    assert carol.transport is not None
    carol.transport.abort()
    loop.run_until_idle()

    found = door.samples()
    assert found['agentbus_hub_connections{app="test"}'] == 2
    assert found['agentbus_hub_connections{app="other"}'] == 1
    assert found['agentbus_hub_connections_accepted_total{app="test"}'] == 3
    assert found['agentbus_hub_connections_refused_total{reason="4001"}'] == 1
    assert found['agentbus_hub_connections_closed_total{by="network",code="1006"}'] == 1
    assert found['agentbus_hub_peers{app="test"}'] == 2
    assert found['agentbus_hub_channels{app="test"}'] == 1
    assert found["agentbus_hub_published_total"] == 2
    assert found["agentbus_hub_sent_total"] == 1
    assert found["agentbus_hub_delivered_total"] == 2 + 1 + 1
    assert found['agentbus_hub_errors_total{code="peer_not_found"}'] == 1
    assert found['agentbus_hub_frames_received_total{app="test"}'] == 6
    assert found['agentbus_hub_period_messages{app="test"}'] == 3
    assert found["agentbus_hub_ready"] == 1
    assert found["agentbus_hub_backlog_bytes"] == 0
    assert "process_resident_memory_bytes" in found
    [info] = [name for name in found if name.startswith("agentbus_hub_info")]
    assert "version=" in info


def test_bytes_are_those_of_the_wire_whether_their_connection_is_open_or_over(loop: VirtualLoop) -> None:
    door = Door(loop)
    caller = door.upgrade()
    caller.write(PING * 10)
    loop.run_until_idle()
    out = len(caller.data.partition(b"\r\n\r\n")[2])
    for _ in range(2):
        found = door.samples()
        assert found['agentbus_hub_bytes_received_total{app="test"}'] == 10 * len(PING)
        assert found['agentbus_hub_bytes_written_total{app="test"}'] == out
        assert caller.transport is not None
        caller.transport.abort()
        loop.run_until_idle()


def test_no_client_can_make_the_page_grow(loop: VirtualLoop) -> None:
    door = Door(loop, connects_per_minute_per_address=0)

    def one(number: int) -> None:
        caller = door.upgrade()
        say(caller, "subscribe", channel=f"channel-{number}")
        say(caller, f"type-{number}")
        caller.write(b"\x88\x82" + bytes(4) + (3000 + number).to_bytes(2, "big"))  # a close code of its own
        loop.advance(5)
        assert caller.gone
        door.get(f"/page-{number}")

    one(0)
    before = len(door.metrics.page().splitlines())
    for number in range(1, 50):
        one(number)
    assert len(door.metrics.page().splitlines()) == before
    assert door.samples()['agentbus_hub_connections_closed_total{by="client",code="other"}'] == 50


def test_a_sample_of_the_handover_is_taken_now_and_then(loop: VirtualLoop) -> None:
    door = Door(loop)
    caller = door.upgrade()
    for _ in range(10):
        caller.write(PING * 3)
        loop.advance(SAMPLE_INTERVAL / 2)
    assert door.samples()["agentbus_hub_handover_seconds_count"] == 5
    assert len(texts_of(caller)) == 31


def test_a_sample_falls_into_the_bucket_of_its_time() -> None:
    handover = Handover(interval=1.0)
    for took in (0.0, 0.00005, 0.0001, 0.02, 3.0):
        assert handover.due <= 10.0
        handover.begin(10.0)
        assert handover.due > 1e9
        handover.end(10.0 + took)
        assert handover.due == 11.0
        handover.due = 0.0
    counts = dict(handover.buckets())
    assert counts["0.0001"] in {2, 3}  # 10.0001 - 10.0 is a hair off
    assert (counts["0.025"], counts["1.0"], counts["+Inf"]) == (4, 4, 5)
    assert len(counts) == len(BOUNDS) + 1
    assert handover.total == pytest.approx(3.02015)


@pytest.mark.parametrize(
    ("address", "headers", "token", "status"),
    [
        ("127.0.0.1", "", "", 200),
        ("::1", "", "", 200),
        ("::ffff:127.0.0.1", "", "", 200),
        ("192.0.2.1", "", "", 403),
        ("10.1.1.1", "", "", 403),
        ("127.0.0.1", "X-Forwarded-For: 203.0.113.7\r\n", "", 403),
        ("127.0.0.1", "X-Forwarded-For: 127.0.0.1\r\n", "", 403),
        ("127.0.0.1", "Forwarded: for=203.0.113.7\r\n", "", 403),
        ("127.0.0.1", "Via: 1.1 proxy\r\n", "", 403),
        ("10.0.0.1", "X-Forwarded-For: 127.0.0.1, 203.0.113.7\r\n", "", 403),
        ("10.0.0.1", "X-Forwarded-For: 203.0.113.7, 127.0.0.1\r\n", "", 200),
        ("192.0.2.1", "", METRICS_TOKEN, 401),
        ("192.0.2.1", f"Authorization: Bearer {METRICS_TOKEN}\r\n", METRICS_TOKEN, 200),
        ("192.0.2.1", f"authorization: bearer {METRICS_TOKEN}\r\n", METRICS_TOKEN, 200),
        ("192.0.2.1", f"Authorization: Bearer {METRICS_TOKEN}x\r\n", METRICS_TOKEN, 401),
        ("192.0.2.1", "Authorization: Bearer \r\n", METRICS_TOKEN, 401),
        ("192.0.2.1", "Authorization: Bearer \r\n", "", 403),
        ("192.0.2.1", "Authorization: Bearer \xff\r\n", METRICS_TOKEN, 401),
    ],
)
def test_metrics_are_for_this_machine_and_for_who_has_the_token(
    loop: VirtualLoop, address: str, headers: str, token: str, status: int
) -> None:
    door = Door(loop, trusted_proxies=("10.0.0.1",), metrics_token=token)
    answer = door.get("/metrics", headers, address)
    assert answer.status == status
    assert (b"agentbus_hub_ready" in answer.data) == (status == 200)


# -- what asks for metrics -----------------------------------------------------------------------------------


def names_in(expression: str) -> set[str]:
    """Return the metrics that a query names."""
    return set(re.findall(r"\b((?:agentbus_hub|process|python)_\w+)", expression))


def known_names(loop: VirtualLoop) -> set[str]:
    door = Door(loop)
    door.upgrade().write(PING)
    door.upgrade("key=pk_live_wrong")
    say(door.upgrade(), "nonsense")
    last = door.upgrade()
    assert last.transport is not None
    last.transport.abort()
    loop.advance(1)
    return {name.partition("{")[0] for name in door.samples()}


def queries(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():  # pyright: ignore[reportUnknownVariableType]
            if key == "expr":
                yield str(value)  # pyright: ignore[reportUnknownArgumentType]
            else:
                yield from queries(value)
    elif isinstance(node, list):
        for value in node:  # pyright: ignore[reportUnknownVariableType]
            yield from queries(value)


def test_every_query_of_the_dashboard_names_metrics_that_exist(loop: VirtualLoop) -> None:
    asked = [*queries(json.loads(GRAFANA.read_text()))]
    assert len(asked) > 10
    known = known_names(loop)
    for query in asked:
        assert names_in(query), query
        assert names_in(query) <= known, query


def test_every_alert_and_every_page_names_metrics_that_exist(loop: VirtualLoop) -> None:
    known = known_names(loop)
    for page in (ALERTS, ROOT / "docs" / "operations.md"):
        found = names_in(page.read_text())
        assert found
        assert found <= known, page.name
