from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.hub.core import AppConfig, SecretKey
from agentbus.hub.core.keyring import Keyring

PAIR = SecretKey(id="sk_id_a", secret="sk_secret:with:colons and ü", channel_patterns=("rooms/**",))
KEYRING = Keyring([AppConfig(id="one", secret_keys=(PAIR,)), AppConfig(id="two")])
GOOD = "Bearer sk_id_a:sk_secret:with:colons and ü".encode()


@pytest.mark.parametrize("header", [GOOD, GOOD.replace(b"Bearer", b"bEARER"), b"  " + GOOD + b" "])
def test_a_good_pair_is_known_with_its_app_and_scope(header: bytes) -> None:
    caller = KEYRING.identify([header])
    assert caller is not None
    assert (caller.app.id, caller.key) == ("one", PAIR)
    assert caller.grant.refusal("publish", "rooms/a") is None
    assert caller.grant.refusal("publish", "halls/a") == "channel_not_authorized"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [b""],
        [b"Bearer"],
        [b"Bearer sk_id_a"],
        [b"Bearer sk_id_a:"],
        [b"Bearer :"],
        [b"Bearer sk_id_nobody:sk_secret"],
        [GOOD[:-1]],
        [GOOD + b"x"],
        [GOOD.replace(b"Bearer", b"Basic")],
        [b"\xff\xfe:\x00"],
        [GOOD, GOOD],
    ],
)
def test_whatever_else_is_nobody(headers: list[bytes]) -> None:
    assert KEYRING.identify(headers) is None


@given(st.binary(max_size=60))
def test_no_bytes_are_too_odd_to_be_refused(header: bytes) -> None:
    assert KEYRING.identify([b"Bearer " + header]) is None


def test_a_key_ring_shows_no_secret() -> None:
    assert "sk_secret" not in repr(KEYRING.identify([GOOD]))
