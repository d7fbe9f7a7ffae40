"""The control plane against callers who mean well, know no better, or mean harm."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from agentbus.hub.core.control_bodies import MAX_BODY_BYTES
from agentbus.hub.server.rest.bodies import LINGER_TIMEOUT
from agentbus.runtime.virtual import VirtualLoop
from tests.hub.server.rest.door import APP, PAIR, SECRET, Door, Response, request


@pytest.fixture
def door() -> Iterator[Door]:
    with VirtualLoop() as loop:
        yield Door(loop, connects_per_minute_per_address=0)


# -- the five calls ----------------------------------------------------------------------------------------


def test_a_token_lets_its_peer_in(door: Door) -> None:
    answer = door.ask("POST", "/v1/tokens", {"peerId": "alice", "channels": ["rooms/*"]})
    assert answer.status == 200
    assert set(answer.json) == {"token", "expiresAt"}
    client = door.connect(query=f"token={answer.json['token']}")
    assert client.heard("welcome")[0]["peerId"] == "alice"
    assert client.heard("welcome")[0]["expiresAt"] == answer.json["expiresAt"]


def test_a_channel_of_several_levels_is_one_segment(door: Door) -> None:
    client = door.connect("a/b")
    answer = door.ask("POST", "/v1/channels/a%2Fb/publish", {"data": {"x": 1}})
    assert (answer.status, answer.json) == (200, {"channel": "a/b", "delivered": 1})
    assert client.heard("message") == [
        {"type": "message", "channel": "a/b", "from": "system", "data": {"x": 1}}
    ]
    assert door.ask("GET", "/v1/channels/a%2fb/peers").json == {
        "channel": "a/b",
        "peers": [{"peerId": "peer-1"}],
    }
    assert door.ask("GET", "/v1/channels/a/b/peers").error == (404, "not_found")


@pytest.mark.parametrize(
    ("segment", "channel"),
    [
        ("%C3%BC", "ü"),
        ("a%20b", "a b"),
        ("%2525", "%25"),
        ("..", ".."),
        ("a+b", "a+b"),
        ("%2F", "/"),
        ("a%3F", "a?"),
    ],
)
def test_names_in_a_path_are_decoded_once(door: Door, segment: str, channel: str) -> None:
    assert door.ask("GET", f"/v1/channels/{segment}/peers").json == {"channel": channel, "peers": []}


@pytest.mark.parametrize(
    "segment", ["%FF", "%", "%zz", "a%2", "%0A", "%00", "%C2%85", "", "a" * 257, "%ED%A0%80"]
)
def test_a_name_that_none_can_be_is_400(door: Door, segment: str) -> None:
    assert door.ask("GET", f"/v1/channels/{segment}/peers").error == (400, "invalid_request")


def test_a_reserved_channel_is_400_with_a_code_of_its_own(door: Door) -> None:
    assert door.ask("GET", "/v1/channels/_system%2Fx/peers").error == (400, "channel_reserved")


def test_a_kick_reaches_the_peer_before_its_answer(door: Door) -> None:
    client = door.connect("a")
    assert door.ask("DELETE", "/v1/peers/peer-1").json == {"peerId": "peer-1", "closed": 1}
    assert client.closed is not None
    assert client.closed[0] == 4020
    assert door.ask("DELETE", "/v1/peers/peer-1").json == {"peerId": "peer-1", "closed": 0}


def test_usage_counts_what_others_do(door: Door) -> None:
    door.connect("a")
    door.ask("POST", "/v1/channels/a/publish", {"data": 1})
    used = door.ask("GET", "/v1/usage?ignored=1").json
    assert (used["concurrentNow"], used["messagesUsed"]) == (1, 1)


# -- credentials -------------------------------------------------------------------------------------------

CALLS = [
    ("POST", "/v1/tokens", {"peerId": "a"}),
    ("GET", "/v1/channels/a/peers", None),
    ("POST", "/v1/channels/a/publish", {"data": 1}),
    ("DELETE", "/v1/peers/a", None),
    ("GET", "/v1/usage", None),
]
BAD = [
    "",
    "sk_id_test",
    "sk_id_test:",
    f"sk_id_test:{SECRET}x",
    f"sk_id_nobody:{SECRET}",
    "pk_live_test",
    ":",
    "ü:ü",
    "x" * 5000,
]


def faceless(response: Response) -> tuple[int, dict[str, str], bytes]:
    headers = {
        name: value for name, value in response.headers.items() if name not in {"date", "x-request-id"}
    }
    return response.status, headers, response.body


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
def test_every_kind_of_bad_credential_gets_the_same_bytes(
    door: Door, method: str, path: str, body: Any
) -> None:
    answers = [faceless(door.ask(method, path, body, pair=pair)) for pair in BAD]
    answers.append(faceless(door.ask(method, path, body, Authorization=f"Basic {PAIR}")))
    assert answers == [answers[0]] * len(answers)
    status, headers, text = answers[0]
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(text)["error"] == "unauthorized"


def test_two_credentials_are_none(door: Door) -> None:
    caller = door.call()
    twice = f"Authorization: Bearer {PAIR}\r\n".encode() * 2
    caller.say(b"GET /v1/usage HTTP/1.1\r\nHost: hub\r\n" + twice + b"\r\n")
    assert caller.take().error == (401, "unauthorized")


def test_a_bad_credential_is_refused_before_its_body_is_looked_at(door: Door) -> None:
    assert door.ask("POST", "/v1/tokens", b"no JSON", pair="x:y").status == 401


def test_guessing_is_slowed_down() -> None:
    with VirtualLoop() as loop:
        door = Door(loop, connects_per_minute_per_address=3)
        answers = [door.ask("GET", "/v1/usage", pair="x:y") for _ in range(5)]
        assert [answer.status for answer in answers] == [401, 401, 401, 429, 429]
        assert answers[-1].error == (429, "rate_limited")
        assert answers[-1].headers["retry-after"] == "60"


def test_a_key_that_is_revoked_while_a_body_comes_in_may_no_more(door: Door) -> None:
    caller = door.call()
    whole = request("POST", "/v1/channels/a/publish", {"data": 1})
    caller.say(whole[:-3])
    door.shell.reconfigure(type(door.shell.hub.config)(apps=()))
    caller.say(whole[-3:])
    assert caller.take().error == (401, "unauthorized")


# -- bodies ------------------------------------------------------------------------------------------------


def sized(size: int) -> bytes:
    return b'{"data":"' + b"x" * (size - 11) + b'"}'


def test_a_body_of_32_kib_is_taken_and_one_byte_more_is_not(door: Door) -> None:
    assert door.ask("POST", "/v1/channels/a/publish", sized(MAX_BODY_BYTES)).status == 200
    answer = door.ask("POST", "/v1/channels/a/publish", sized(MAX_BODY_BYTES + 1))
    assert answer.error == (413, "invalid_request")
    assert answer.headers["connection"] == "close"


def test_a_body_that_says_it_is_too_large_is_not_waited_for(door: Door) -> None:
    caller = door.call()
    caller.say(request("POST", "/v1/tokens", b"", Content_Length=str(MAX_BODY_BYTES + 1)))
    assert caller.take().error == (413, "invalid_request")
    door.loop.advance(LINGER_TIMEOUT + 0.1)
    assert caller.gone


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunked(path: str = "/v1/channels/a/publish") -> bytes:
    head = request("POST", path, None, Content_Type="application/json", Transfer_Encoding="chunked")
    assert b"Content-Length" not in head
    return head


def test_a_body_without_a_length_is_taken_up_to_the_same_limit(door: Door) -> None:
    caller = door.call()
    body = sized(MAX_BODY_BYTES)
    caller.say(chunked(), chunk(body[:1000]), chunk(body[1000:]), b"0\r\n\r\n")
    assert caller.take().status == 200
    assert not caller.gone


def test_a_body_without_a_length_or_an_end_is_refused_once_it_is_too_large(door: Door) -> None:
    caller = door.call()
    caller.say(chunked(), *[chunk(b" " * 4096)] * 9)
    assert caller.take().error == (413, "invalid_request")
    caller.say(*[chunk(b" " * 65536)] * 5)
    assert caller.gone, "more is thrown away up to a limit"
    assert caller.data == b""


def test_who_is_refused_early_can_read_why(door: Door) -> None:
    caller = door.call()
    caller.say(request("POST", "/v1/tokens", None, pair="x:y", Content_Length="100000"))
    assert caller.take().status == 401
    assert not caller.gone
    caller.say(b"x" * 100_000)
    assert caller.gone


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_json_is_taken_however_it_is_called(door: Door, kind: str) -> None:
    assert door.ask("POST", "/v1/tokens", {"peerId": "a"}, Content_Type=kind).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "application/x-www-form-urlencoded"},
        {"Content_Type": "text/plain"},
        {"Content_Type": ""},
        {"Content_Encoding": "gzip"},
    ],
)
def test_what_is_no_json_by_its_own_word_is_400_and_the_connection_goes_on(
    door: Door, headers: dict[str, str]
) -> None:
    caller = door.call()
    caller.say(request("POST", "/v1/tokens", {"peerId": "a"}, **headers))
    assert caller.take().error == (400, "invalid_request")
    caller.say(request("GET", "/v1/usage"))
    assert caller.take().status == 200


def test_a_body_without_a_type_is_taken_for_json(door: Door) -> None:
    caller = door.call()
    untyped = request("POST", "/v1/tokens", {"peerId": "a"})
    caller.say(untyped.replace(b"Content-Type: application/json\r\n", b""))
    assert caller.take().status == 200


def test_a_client_that_asks_first_is_told_to_go_on_or_why_not(door: Door) -> None:
    caller = door.call()
    whole = request("POST", "/v1/tokens", {"peerId": "a"}, Expect="100-continue")
    head, _, body = whole.partition(b"\r\n\r\n")
    caller.say(head + b"\r\n\r\n")
    assert caller.data == b"HTTP/1.1 100 Continue\r\n\r\n"
    caller.data = b""
    caller.say(body)
    assert caller.take().status == 200
    caller.say(head.replace(SECRET.encode(), b"wrong") + b"\r\n\r\n")
    assert caller.take().status == 401


# -- HTTP --------------------------------------------------------------------------------------------------


def test_a_connection_is_kept_alive(door: Door) -> None:
    caller = door.call()
    for _ in range(3):
        caller.say(request("GET", "/v1/usage"))
        assert caller.take().status == 200
    caller.say(request("GET", "/v1/usage", pair="x:y") + request("POST", "/v1/tokens", {"peerId": "a"}))
    assert [caller.take().status, caller.take().status] == [401, 200]
    caller.say(request("GET", "/v1/usage", Connection="close"))
    assert caller.take().headers["connection"] == "close"
    assert caller.gone


def test_head_is_get_without_the_body(door: Door) -> None:
    caller = door.call()
    caller.say(request("HEAD", "/v1/usage"))
    head = caller.take(head=True)
    assert (head.status, caller.data) == (200, b"")
    assert head.headers["content-length"] == str(len(door.ask("GET", "/v1/usage").body))
    assert door.ask("HEAD", "/v1/tokens").status == 405


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/tokens", "POST, OPTIONS"),
        ("/v1/usage", "GET, HEAD, OPTIONS"),
        ("/v1/peers/a", "DELETE, OPTIONS"),
        ("/v1/channels/a%2Fb/peers", "GET, HEAD, OPTIONS"),
    ],
)
def test_options_and_405_say_what_a_path_takes(door: Door, path: str, allowed: str) -> None:
    options = door.ask("OPTIONS", path, pair="")
    assert (options.status, options.headers["allow"], options.body) == (204, allowed, b"")
    refused = door.ask("PATCH", path, pair="")
    assert refused.error == (405, "method_not_allowed")
    assert refused.headers["allow"] == allowed


@pytest.mark.parametrize(
    "path",
    [
        "/v1/",
        "/v1/tokens/",
        "/v1//tokens",
        "/v1%2Ftokens",
        "/v1/Tokens",
        "/v1/peers",
        "/v1/channels/a/nothing",
        "/v2/tokens",
        "/nothing",
    ],
)
def test_any_other_path_is_404_in_the_same_shape(door: Door, path: str) -> None:
    assert door.ask("GET", path).error == (404, "not_found")


def test_a_method_that_a_page_does_not_take_is_405_in_the_same_shape(door: Door) -> None:
    assert door.ask("POST", "/healthz").error == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "start",
    [
        b"GET /v1/channels/\xc3\xbc/peers HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"GET  HTTP/1.1",
        b"GET /v1/usage HTTP/9.9",
        b"BREW /v1/usage HTTP/1.1",
    ],
)
def test_an_odd_request_line_is_an_error_and_costs_the_hub_nothing(door: Door, start: bytes) -> None:
    caller = door.call()
    caller.say(start + f"\r\nHost: hub\r\nAuthorization: Bearer {PAIR}\r\n\r\n".encode())
    assert caller.take().status in {400, 404, 405}
    assert door.ask("GET", "/v1/usage").status == 200


def test_an_absolute_target_is_the_same_path(door: Door) -> None:
    assert door.ask("GET", "http://hub/v1/usage").status == 200


@pytest.mark.parametrize(
    "body",
    [b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"Content-Length: -1\r\n\r\n"],
)
def test_lengths_that_contradict_are_no_request(door: Door, body: bytes) -> None:
    caller = door.call()
    caller.say(b"POST /v1/tokens HTTP/1.1\r\nHost: hub\r\n" + body)
    assert caller.take().status == 400
    assert caller.gone


def test_a_failure_of_the_hubs_own_is_503_and_says_nothing_of_itself(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a detail")

    monkeypatch.setattr(door.shell.hub, "usage", broken)
    answer = door.ask("GET", "/v1/usage")
    assert answer.error == (503, "internal_error")
    assert b"a detail" not in answer.body
    assert "ZeroDivisionError" in caplog.text


def test_answers_are_never_stored(door: Door) -> None:
    assert door.ask("POST", "/v1/tokens", {"peerId": "a"}).headers["cache-control"] == "no-store"


# -- request ids and the audit log -------------------------------------------------------------------------


def test_an_answer_carries_the_callers_request_id_or_a_new_one(door: Door) -> None:
    assert door.ask("GET", "/v1/usage", X_Request_Id="job-7.a_B").headers["x-request-id"] == "job-7.a_B"
    for odd in ("", "a b", "x" * 65, "a\tb", "ü"):
        given = door.ask("GET", "/v1/usage", X_Request_Id=odd).headers["x-request-id"]
        assert len(given) == 32
    ids = {door.ask("GET", "/v1/nothing").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3


def test_every_call_is_one_line_of_the_audit_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agentbus.hub.audit")
    door.ask("POST", "/v1/channels/a%20b%22/publish", {"data": 1}, X_Request_Id="one")
    door.ask("DELETE", "/v1/peers/%0A", X_Request_Id="two")
    door.ask("GET", "/v1/channels/lobby/peers", pair=f"sk_id_rooms:{SECRET}", X_Request_Id="3")
    door.ask("GET", "/v1/usage", pair="sk_id_test:wrong", X_Request_Id="four")
    door.ask("GET", "/v1/nothing", X_Request_Id="five")
    lines = [record.getMessage() for record in caplog.records]
    lines = [line[len("control: ") :].replace(" address=in-memory request=", " ") for line in lines]
    assert lines == [
        'call=publish app=test key=sk_id_test target="a b\\"" status=200 one',
        'call=kick app=test key=sk_id_test target="\\n" status=400 error=invalid_request two',
        "call=list_peers app=test key=sk_id_rooms target=lobby status=403 error=channel_not_authorized 3",
        "call=usage status=401 error=unauthorized four",
    ]
    assert caplog.records[0].__dict__["facts"]["target"] == 'a b"'


def test_no_secret_token_or_payload_reaches_a_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    token = door.ask("POST", "/v1/tokens", {"peerId": "a", "metadata": {"password": "hush"}}).json["token"]
    door.ask("POST", "/v1/channels/a/publish", {"data": "hush"})
    door.ask("GET", "/v1/usage", pair=f"sk_id_typo:{SECRET}")
    door.ask("GET", "/v1/usage", pair=f"{SECRET}:sk_id_test")
    for secret in (SECRET, token, "hush"):
        assert secret not in caplog.text


def test_a_flood_of_bad_credentials_fills_no_disk(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "agentbus.hub.audit")
    with VirtualLoop() as loop:
        door = Door(loop, APP, connects_per_minute_per_address=3)
        for _ in range(20):
            door.ask("GET", "/v1/usage", pair="x:y")
    assert len(caplog.records) == 3
