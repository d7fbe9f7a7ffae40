"""Tokens: what is signed is verified, and nothing else is. Spec section 8, *JWT*."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.errors import TokenError
from agentbus.hub.core import AppConfig, HubConfig, SecretKey
from agentbus.hub.server.tokens import TokenKeys, mint

SECRET = "sk_secret_" + "0123456789abcdef" * 4
KEYS = TokenKeys({"sk_id_a": SECRET, "sk_id_b": "sk_secret_short"})
NOW = 1_750_000_000.5


def text(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def token(header: Any, payload: bytes = b'{"sub":"alice","exp":1}', secret: str = SECRET) -> str:
    """Sign by hand, whatever the header says."""
    signed = f"{text(json.dumps(header).encode())}.{text(payload)}"
    return f"{signed}.{text(hmac.digest(secret.encode(), signed.encode(), 'sha256'))}"


def test_what_was_minted_is_verified() -> None:
    minted = mint(
        "sk_id_a",
        SECRET,
        subject="alice",
        issued_at=NOW,
        lifetime=60,
        channels=["rooms/*"],
        permissions=["send"],
        metadata={"iceServers": []},
        peer_metadata={"name": "Alice"},
    )
    claims = KEYS.verify(minted)
    assert (claims.key_id, claims.subject) == ("sk_id_a", "alice")
    assert (claims.issued_at, claims.expires_at) == (1_750_000_000, 1_750_000_060)
    assert (claims.channels, claims.permissions) == (("rooms/*",), frozenset(("send",)))
    assert claims.metadata is not None
    assert claims.peer_metadata is not None
    assert bytes(claims.metadata) == b'{"iceServers":[]}'
    assert bytes(claims.peer_metadata) == b'{"name":"Alice"}'


def test_absent_options_are_left_to_the_key() -> None:
    claims = KEYS.verify(mint("sk_id_b", "sk_secret_short", subject="alice", issued_at=NOW))
    assert (claims.channels, claims.permissions, claims.metadata, claims.peer_metadata) == (
        None,
        None,
        None,
        None,
    )
    assert claims.expires_at == 1_750_003_600


def test_tokens_of_other_libraries_are_read() -> None:
    claims = {"sub": "alice", "exp": 2_000_000_000}
    assert KEYS.verify(jwt.encode(claims, SECRET, "HS256", {"kid": "sk_id_a"})).subject == "alice"
    assert KEYS.verify(token({"alg": "HS256", "kid": "sk_id_a"})).subject == "alice"


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": "sk_id_a"},
        {"alg": "HS384", "kid": "sk_id_a"},
        {"alg": "HS512", "kid": "sk_id_a"},
        {"alg": "RS256", "kid": "sk_id_a"},
        {"alg": "hs256", "kid": "sk_id_a"},
        {"alg": ["HS256"], "kid": "sk_id_a"},
        {"alg": None, "kid": "sk_id_a"},
        {"kid": "sk_id_a"},
        {"alg": "HS256"},
        {"alg": "HS256", "kid": "sk_id_other"},
        {"alg": "HS256", "kid": "sk_id_b"},
        {"alg": "HS256", "kid": 7},
        {"alg": "HS256", "kid": ["sk_id_a"]},
        {"alg": "HS256", "kid": "sk_id_a", "crit": ["exp"]},
        {"alg": "HS256", "kid": "sk_id_a", "b64": False},
        ["HS256"],
        "HS256",
        None,
    ],
)
def test_only_hs256_of_a_known_key_counts(header: Any) -> None:
    with pytest.raises(TokenError):
        KEYS.verify(token(header))


def test_other_hmac_algorithms_are_refused_though_their_signature_is_right() -> None:
    signed = f"{text(json.dumps({'alg': 'HS512', 'kid': 'sk_id_a'}).encode())}.{text(b'{}')}"
    signature = hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha512)
    with pytest.raises(TokenError):
        KEYS.verify(f"{signed}.{text(signature)}")


def test_an_unsigned_token_is_refused() -> None:
    with pytest.raises(TokenError):
        KEYS.verify(token({"alg": "none", "kid": "sk_id_a"}).rpartition(".")[0] + ".")


@given(st.data())
def test_a_token_with_any_character_changed_is_refused(data: st.DataObject) -> None:
    good = mint("sk_id_a", SECRET, subject="alice", issued_at=NOW)
    at = data.draw(st.integers(0, len(good) - 1))
    other = data.draw(st.sampled_from("ABCdef019-_.=é \ud800").filter(lambda one: one != good[at]))
    with pytest.raises(TokenError):
        KEYS.verify(good[:at] + other + good[at + 1 :])


@given(
    st.text(max_size=60) | st.lists(st.binary(max_size=20).map(text), min_size=3, max_size=3).map(".".join)
)
def test_nonsense_raises_nothing_but_its_own_error(nonsense: str) -> None:
    with pytest.raises(TokenError):
        KEYS.verify(nonsense)


def test_a_header_nested_beyond_reading_is_refused() -> None:
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":' + b"[" * 60_000).rstrip(b"=").decode()
    with pytest.raises(TokenError):
        KEYS.verify(f"{header}.e30.e30")


def test_malformed_claims_are_refused_though_well_signed() -> None:
    for payload in (b"", b"[]", b'{"sub":"alice"}', b'{"sub":"","exp":1}', b"\xff"):
        with pytest.raises(TokenError):
            KEYS.verify(token({"alg": "HS256", "kid": "sk_id_a"}, payload))


@pytest.mark.parametrize(
    "claims",
    [
        {"subject": "zoë"},
        {"subject": "alice", "metadata": {"x": "y" * 9000}},
        {"subject": "alice", "peer_metadata": {"x": "y" * 5000}},
        {"subject": "alice", "lifetime": 1e300},
    ],
)
def test_no_token_is_minted_that_a_hub_would_refuse(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenError):
        mint("sk_id_a", SECRET, issued_at=NOW, **claims)


def test_the_secrets_of_all_apps_verify() -> None:
    apps = [
        AppConfig(id=name, secret_keys=(SecretKey(id=f"sk_id_{name}", secret=f"s-{name}"),)) for name in "ab"
    ]
    keys = TokenKeys.of(HubConfig(apps=tuple(apps)))
    assert keys.verify(mint("sk_id_b", "s-b", subject="alice", issued_at=NOW)).key_id == "sk_id_b"
    assert "s-b" not in repr(keys)


def test_neither_secret_nor_token_is_in_what_is_raised() -> None:
    forged = token({"alg": "HS256", "kid": "sk_id_a"}, secret="wrong")
    with pytest.raises(TokenError) as caught:
        KEYS.verify(forged)
    assert caught.value.__suppress_context__
    assert forged not in str(caught.value)
    assert SECRET not in str(caught.value)
