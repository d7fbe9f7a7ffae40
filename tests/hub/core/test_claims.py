"""Claims: what is read, what is refused, what the clock says. Spec section 8, *JWT*."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import TokenError
from agentbus.hub.core.claims import Claims, check_times, no_tokens, parse_claims

GOOD = {"sub": "alice", "exp": 2000}


def parse(**claims: Any) -> Claims:
    return parse_claims("sk_id_a", json.dumps(GOOD | claims).encode())


def test_a_token_says_who_and_until_when_and_the_rest_is_the_keys() -> None:
    assert parse() == Claims(key_id="sk_id_a", subject="alice", expires_at=2000.0)


def test_everything_else_is_read_too() -> None:
    claims = parse(nbf=1, iat=2.5, channels=["a/*"], permissions=["send"], metadata={"a": 1}, unknown=[])
    assert (claims.not_before, claims.issued_at) == (1.0, 2.5)
    assert claims.channels == ("a/*",)
    assert claims.permissions == {"send"}


def test_metadata_keeps_its_bytes() -> None:
    claims = parse_claims("k", b'{"sub":"a","exp":1,"metadata":{"n": 1.0e2, "n":2},"peerMetadata": {} }')
    assert claims.metadata is not None
    assert claims.peer_metadata is not None
    assert bytes(claims.metadata) == b'{"n": 1.0e2, "n":2}'
    assert bytes(claims.peer_metadata) == b"{}"


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "x" * 129},
        {"sub": "zoë"},
        {"sub": "a\nb"},
        {"exp": None},
        {"exp": "2000"},
        {"exp": True},
        {"exp": -1},
        {"exp": 10**30},
        {"nbf": "now"},
        {"iat": None},
        {"channels": "rooms/*"},
        {"channels": [1]},
        {"channels": None},
        {"permissions": {"send": True}},
        {"permissions": None},
        {"metadata": None},
        {"metadata": [1]},
        {"metadata": "text"},
        {"metadata": {"x": "y" * 8192}},
        {"peerMetadata": 1},
        {"peerMetadata": {"x": "y" * 4096}},
    ],
)
def test_malformed_claims_are_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenError) as caught:
        parse(**claims)
    assert not caught.value.expired


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"{}",
        b'{"sub":"a"}',
        b'{"exp":1}',
        b'{"sub":"a","exp":1e999}',
        b'{"sub":"a","exp":1,"metadata":{"x":tru}}',
        b'{"sub":"a","exp":1,"metadata":{"x":"\xff"}}',
        b'{"sub":"a","exp":1,"metadata":' + b'{"x":' * 1300 + b"1" + b"}" * 1300 + b"}",
    ],
)
def test_a_payload_that_is_no_set_of_claims_is_refused(payload: bytes) -> None:
    with pytest.raises(TokenError):
        parse_claims("sk_id_a", payload)


@given(
    st.binary(max_size=40)
    | st.dictionaries(st.text(), st.none() | st.text()).map(lambda d: json.dumps(d).encode())
)
def test_reading_claims_raises_nothing_but_its_own_error(payload: bytes) -> None:
    with pytest.raises(TokenError):
        parse_claims("sk_id_a", payload)


def test_metadata_may_fill_its_limit() -> None:
    frame = len('{"x": ""}')
    assert parse(metadata={"x": "y" * (8192 - frame)}, peerMetadata={"x": "y" * (4096 - frame)})


def test_exp_is_exact_and_the_others_have_five_seconds_of_leeway() -> None:
    check_times(parse(exp=2000, nbf=1005, iat=1005), 1000.0)
    check_times(parse(exp=1000.5), 1000.0)
    with pytest.raises(TokenError) as caught:
        check_times(parse(exp=1000), 1000.0)
    assert caught.value.expired
    for early in ("nbf", "iat"):
        with pytest.raises(TokenError) as caught:
            check_times(parse(**{early: 1006}), 1000.0)
        assert not caught.value.expired


def test_a_hub_without_a_verifier_takes_no_token() -> None:
    with pytest.raises(TokenError):
        no_tokens("whatever")
