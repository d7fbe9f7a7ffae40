"""HTTP heads around the upgrade."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers

from agentbus.protocol.url import check_origin
from agentbus.wire import MAX_HEAD_BYTES, Reject
from agentbus.wire.head import (
    HeadCollector,
    HeadError,
    UpgradeOffer,
    accept,
    parse_request,
    parse_response,
    retry_after_seconds,
)
from tests.wire.fakes import SECRET, upgrade_request, upgrade_response
from tests.wire.frames import chunked, cut_positions


@given(cuts=cut_positions, rest=st.binary(max_size=20))
def test_a_head_is_found_however_it_is_cut(cuts: list[int], rest: bytes) -> None:
    head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    collector, after = HeadCollector(), b""
    found: tuple[bytes, bytes] | None = None
    for chunk in chunked(head + rest, cuts):
        if found is None:
            found = collector.feed(chunk)
        else:
            after += chunk
    assert found is not None
    assert (found[0], found[1] + after) == (head, rest)


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
def test_a_head_without_end_is_refused(end: bytes) -> None:
    collector = HeadCollector()
    with pytest.raises(HeadError):
        collector.feed(b"G" * (MAX_HEAD_BYTES + 1) + end)


@pytest.mark.parametrize("size", [8 * 1024, 32 * 1024, 64 * 1024])
def test_a_long_request_line_passes(size: int) -> None:
    path = "/v1?token=" + "x" * size
    request = parse_request(upgrade_request(path))
    assert request.path == path
    assert accept(request).status_code == 101


@pytest.mark.parametrize(
    "head",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1?key=pk_live_do_not_show_me\r\n\r\n",
        b"GET /v1?key=pk_live_do_not_show_me HTTP/2\r\n\r\n",
        b"GET /v1?key=pk_live_do_not_show_me HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /v1?key=pk_live_do_not_show_me\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
    ],
)
def test_a_malformed_request_is_refused_and_not_quoted(head: bytes) -> None:
    with pytest.raises(HeadError) as caught:
        parse_request(head)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_what_is_no_upgrade_gets_the_answer_that_it_deserves() -> None:
    plain = parse_request(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    assert accept(plain).status_code == 426
    posted = parse_request(upgrade_request().replace(b"GET", b"POST", 1))
    assert accept(posted).status_code == 405
    old = parse_request(upgrade_request().replace(b"Version: 13", b"Version: 8"))
    assert accept(old).status_code == 400


def test_no_extension_and_no_subprotocol_is_accepted() -> None:
    offered = upgrade_request().replace(
        b"\r\n\r\n",
        b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
    )
    headers = accept(parse_request(offered)).headers
    assert headers.get("Sec-WebSocket-Extensions") is None
    assert headers.get("Sec-WebSocket-Protocol") is None


def test_a_client_refuses_an_answer_that_is_not_to_its_offer() -> None:
    offer = UpgradeOffer(check_origin("ws://localhost"))
    answer = upgrade_response(parse_request(offer.request("/v1")))
    offer.check(parse_response(answer))
    for wrong in (
        upgrade_response(parse_request(upgrade_request())),
        answer.replace(b"Upgrade: websocket\r\n", b""),
        answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        answer.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: chat\r\n\r\n"),
    ):
        with pytest.raises(HeadError, match="answered wrongly"):
            offer.check(parse_response(wrong))


def test_an_offer_has_the_key_that_it_was_given_or_a_fresh_one() -> None:
    origin, given = check_origin("ws://localhost"), "AAECAwQFBgcICQoLDA0ODw=="
    offer = UpgradeOffer(origin, given)
    request = offer.request("/v1")
    assert parse_request(request).headers["Sec-WebSocket-Key"] == given
    offer.check(parse_response(upgrade_response(parse_request(request))))
    fresh = {
        parse_request(UpgradeOffer(origin).request("/v1")).headers["Sec-WebSocket-Key"] for _ in range(9)
    }
    assert len(fresh) == 9


def test_an_offer_names_the_host_as_http_wants_it() -> None:
    request = parse_request(UpgradeOffer(check_origin("ws://[::1]:7700")).request("/v1?key=k"))
    assert (request.path, request.headers["Host"]) == ("/v1?key=k", "[::1]:7700")
    assert "Sec-WebSocket-Extensions" not in request.headers


def test_a_rejection_carries_its_headers_and_ends_the_connection() -> None:
    response = Reject(429, {"Retry-After": "7"}, "slow down\n").response()
    assert (response.status_code, response.body) == (429, b"slow down\n")
    assert (response.headers["Retry-After"], response.headers["Connection"]) == ("7", "close")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("Wed, 01 Jan 2025 00:00:10 GMT", 10.0),
        ("Wed, 01 Jan 2020 00:00:00 GMT", 0.0),
        ("9" * 400, 365 * 86_400.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("\u0661", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, expected: float | None) -> None:
    headers = Headers()
    headers.set_insecure("Retry-After", value)
    assert retry_after_seconds(headers, 1_735_689_600.0) == expected


def test_no_or_two_retry_after_headers_say_nothing() -> None:
    assert retry_after_seconds(Headers(), 0.0) is None
    assert retry_after_seconds(Headers([("Retry-After", "1"), ("Retry-After", "2")]), 0.0) is None
