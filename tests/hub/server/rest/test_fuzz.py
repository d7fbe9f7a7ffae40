"""Requests that are broken at random: each gets an answer or an end, and the hub goes on as before."""

from __future__ import annotations

import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentbus.runtime.virtual import VirtualLoop
from tests.hub.server.rest.door import Door, request

GOOD = [
    request("POST", "/v1/tokens", {"peerId": "a", "channels": ["rooms/*"], "metadata": {}}),
    request("GET", "/v1/channels/a%2Fb/peers"),
    request("POST", "/v1/channels/a%2Fb/publish", {"data": [1, "x"], "from": "me"}),
    request("DELETE", "/v1/peers/alice"),
    request("GET", "/v1/usage", X_Request_Id="one"),
    request("POST", "/v1/tokens", None, Transfer_Encoding="chunked") + b'e\r\n{"peerId":"a"}\r\n0\r\n\r\n',
]
ODD = st.sampled_from(
    (b"", b"\x00", b"\r\n", b"\xff", b"%", b"%2F", b'"', b"\\ud800", b" ", b":", b"/", b"1e999", b"{" * 3000)
)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A good request, or several, with some bytes replaced, put in or left out, and perhaps cut short."""
    text = b"".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(ODD) + text[at + draw(st.integers(0, 3)) :]
    return text[: draw(st.integers(0, len(text)))] if draw(st.booleans()) else text


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=broken(), cut=st.integers(0, 500))
def test_no_request_is_too_broken(caplog: pytest.LogCaptureFixture, text: bytes, cut: int) -> None:
    caplog.set_level(logging.WARNING)
    with VirtualLoop() as loop:
        door = Door(loop, connects_per_minute_per_address=0)
        client = door.connect("a/b")
        caller = door.call()
        caller.say(*(part for part in (text[:cut], text[cut:]) if part))
        loop.advance(20)
        while caller.data:
            answer = caller.take()
            assert answer.status in {100, 200, 204, 400, 401, 403, 404, 405, 408, 413, 426, 431, 505}
        assert caller.gone, "nobody is waited for"
        assert client.closed is None
        assert door.ask("GET", "/v1/usage").status == 200
    assert caplog.records == []
