"""Chunks in envelopes: what goes in comes out, in order, whatever shares an envelope."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.agents.envelope import Envelope, Kind
from agentbus.agents.handlers import decode_reply
from agentbus.agents.streams.chunks import ENVELOPE_BYTES, batches, encode_chunk, join, take_chunks
from agentbus.errors import AgentError, CreditExceededError, EncodeError, UndecodableMessageError
from tests.agents.streams.agents import Token

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
chunks = plain | st.binary(max_size=40) | st.builds(Token, number=st.integers(0, 99)) | st.just("x" * 9000)


def envelopes(values: list[Any]) -> list[Envelope]:
    return [
        Envelope("1", Kind.CHUNK, type=batch[0].type, version=batch[0].version, body=join(batch))
        for batch in batches(encode_chunk(value) for value in values)
    ]


def decode(name: str, version: int, body: msgspec.Raw) -> Any:
    return decode_reply(name, version, body, expected=None, near=None)


@settings(max_examples=50)
@given(st.lists(chunks, max_size=20))
def test_what_goes_in_comes_out_in_order(values: list[Any]) -> None:
    taken: list[Any] = []

    def put(value: Any) -> bool:
        taken.append(value)
        return True

    for envelope in envelopes(values):
        assert take_chunks(envelope, put, decode) is None
        assert len(envelope.body) <= ENVELOPE_BYTES + 2
    assert taken == values


def test_neighbours_of_one_type_share_an_envelope() -> None:
    assert len(envelopes([Token(number=number) for number in range(500)])) == 1
    assert len(envelopes([1, 2, b"3", b"4", 5])) == 3
    assert len(envelopes(["x" * 9000] * 4)) == 4


@pytest.mark.parametrize(
    ("envelope", "problem"),
    [
        (Envelope("1", body=msgspec.Raw(b"5")), UndecodableMessageError),
        (Envelope("1", version=0, body=msgspec.Raw(b'["?"]')), UndecodableMessageError),
        (Envelope("1", type="Never heard of", body=msgspec.Raw(b"[{}]")), UndecodableMessageError),
        (Envelope("1", body=msgspec.Raw(b"[1,2]")), CreditExceededError),
    ],
)
def test_what_is_wrong_with_an_envelope_is_told(envelope: Envelope, problem: type[AgentError]) -> None:
    taken: list[Any] = []

    def put_one(value: Any) -> bool:
        taken.append(value)
        return len(taken) == 1

    assert isinstance(take_chunks(envelope, put_one, decode), problem)


def test_a_chunk_without_a_json_form_is_refused() -> None:
    with pytest.raises(EncodeError):
        encode_chunk(object())
