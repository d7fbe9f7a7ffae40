from __future__ import annotations

import base64
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.cli.doctor.token import inspect_token

NOW = 1_000_000.0
HEADER = {"alg": "HS256", "kid": "sk_id_1"}
CLAIMS = {"sub": "peer-1", "exp": NOW + 7200}


def made(header: Any = HEADER, claims: Any = CLAIMS) -> str:
    parts = (
        base64.urlsafe_b64encode(msgspec.json.encode(one)).rstrip(b"=").decode() for one in (header, claims)
    )
    return ".".join((*parts, "signature"))


def test_a_token_in_order_says_for_whom_and_how_long() -> None:
    finding = inspect_token(made(), NOW)
    assert finding.ok
    assert finding.fact == "for peer peer-1, valid for 2 hours"


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("no-jwt", "not a JWT"),
        ("a.b.c", "not a JWT"),
        (made(header=[1]), "not a JWT"),
        (made(header={"alg": "none", "kid": "k"}), "'none'"),
        (made(header={"alg": "HS256"}), "kid"),
        (made(claims={"exp": NOW + 1}), "sub"),
        (made(claims={"sub": "p"}), "exp"),
        (made(claims={"sub": "p", "exp": NOW - 300}), "expired 5 minutes ago"),
        (made(claims={**CLAIMS, "nbf": NOW + 60}), "nbf is 60 s ahead"),
    ],
)
def test_a_token_that_no_hub_takes_says_why(token: str, words: str) -> None:
    finding = inspect_token(token, NOW)
    assert not finding.ok
    assert words in finding.fact
    assert finding.advice


def test_the_leeway_of_a_start_is_granted() -> None:
    assert inspect_token(made(claims={**CLAIMS, "nbf": NOW + 4, "iat": NOW + 4}), NOW).ok


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    assert inspect_token(text, NOW).step == "token"
