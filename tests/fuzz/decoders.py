"""Fuzz both decoders against an oracle that reads the rules aloud.

    python -m tests.fuzz.decoders --seconds 60 [--seed 1]

A failure prints the smallest payload that shows it, and the seed of its round. The default suite runs a
bounded version (`test_decoders.py`).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn, cast, get_args

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentbus.errors import FrameDecodeError
from agentbus.protocol import (
    ClientFrame,
    Publish,
    Send,
    ServerFrame,
    Subscribe,
    decode_client_frame,
    decode_data,
    decode_server_frame,
    encode,
)

CLIENT_CODES = {"malformed_message", "unknown_type", "invalid_channel", "invalid_peer_id"}
CLIENT_TYPES = {"subscribe", "unsubscribe", "publish", "send", "ping"}
NAMED = {"subscribe": "channel", "unsubscribe": "channel", "publish": "channel", "send": "to"}

# -- payloads: frames, nearly frames, and noise ------------------------------------------------------------

Strategy = st.SearchStrategy[Any]

scalars: Strategy = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.text(st.characters(exclude_categories=()), max_size=8),
)
values: Strategy = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
names: Strategy = st.text(max_size=8)
peers: Strategy = st.lists(
    st.fixed_dictionaries({"peerId": names}, optional={"metadata": values}), max_size=3
)
places: Strategy = st.fixed_dictionaries(
    {"epoch": st.text(max_size=4) | st.text("aé", min_size=60, max_size=70), "offset": st.integers(-2, 2**54)}
)
short_texts: Strategy = st.text(max_size=4) | st.text("aé😀", min_size=60, max_size=70)
request_ids: Strategy = st.text(min_size=1, max_size=4) | st.text("aé😀", min_size=30, max_size=140)
FIELDS: dict[str, Strategy] = {
    "requestId": request_ids,
    "channel": names,
    "to": names,
    "from": names,
    "data": values,
    "includeSenderMetadata": st.booleans(),
    "fromMetadata": values,
    "recover": st.booleans(),
    "since": places,
    "producer": short_texts,
    "id": short_texts,
    "position": places,
    "recovered": st.booleans(),
    "offset": st.integers(-2, 2**54),
    "peerId": names,
    "expiresAt": st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    "serverTime": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    "maxMessageSize": st.integers(-2, 70_000) | st.floats(0.1, 1e300),
    "metadata": st.dictionaries(names, values, max_size=2),
    "extensions": st.lists(names, max_size=2),
    "code": names,
    "message": names,
    "joined": peers,
    "left": peers,
    "retryAfterMs": st.integers() | st.floats(),
}
TYPES: dict[str, tuple[str, ...]] = {
    "subscribe": ("channel", "includeSenderMetadata", "requestId", "recover", "since", "producer"),
    "unsubscribe": ("channel", "requestId"),
    "publish": ("channel", "data", "requestId", "id"),
    "send": ("to", "data", "requestId", "id"),
    "ping": ("requestId",),
    "welcome": ("peerId", "expiresAt", "serverTime", "maxMessageSize", "metadata", "extensions"),
    "ack": ("requestId", "position", "recovered", "channel", "offset"),
    "error": ("code", "requestId", "message"),
    "message": ("channel", "from", "data", "fromMetadata", "offset"),
    "direct": ("from", "data", "fromMetadata", "offset"),
    "presence": ("channel", "joined", "left"),
    "going_away": ("retryAfterMs",),
    "pong": ("requestId",),
    "nonsense": ("requestId",),
}


@st.composite
def frames(draw: st.DrawFn) -> dict[str, Any]:
    """Make a frame; now and then with a field too few, too many, or of another type."""
    kind = draw(st.sampled_from(sorted(TYPES)))
    fields: dict[str, Any] = {"type": kind} | {name: draw(FIELDS[name]) for name in TYPES[kind]}
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from(sorted(fields)))
        match draw(st.sampled_from(["drop", "replace", "add"])):
            case "drop":
                del fields[name]
            case "replace":
                fields[name] = draw(values)
            case _:
                fields[draw(st.sampled_from(["unknown", *FIELDS]))] = draw(values)
        if not fields:
            break
    return fields


splices = st.sampled_from(
    [
        b"",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc0\x80",
        b"\xef\xbb\xbf",
        b"\x00",
        b"\n",
        b" ",
        b'"',
        b"\\",
        b"\\ud800",
        b"\\ud83d\\ude00",
        b"\\x",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-0",
        b"01",
        b"1.",
        b"9" * 5000,
        b"[" * 3000,
        b'{"a":' * 3000,
        b"[" * 90 + b"]" * 90,
        b"null",
        b"{}",
        b",",
        b'"type":"ping",',
        b'"type":"publish",',
        b'"channel":"c",',
        b'"requestId":"r",',
        b'"requestId":null,',
        b'"data":"\\udfff",',
        b'"data": [ 1 ] ,',
    ]
)


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    """Write a frame in one of the ways that JSON allows, members in any order."""
    frame = draw(frames())
    members = {name: frame[name] for name in draw(st.permutations(list(frame)))}
    indent = draw(st.sampled_from([None, 1]))
    ascii_only = draw(st.booleans())
    text = json.dumps(members, indent=indent, ensure_ascii=ascii_only)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Splice nasty bytes into a frame, or cut some out."""
    text = draw(texts())
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.sampled_from([0, 0, 1, 2, 7]))
        text = text[:at] + draw(splices) + text[at + cut :]
    return text


payloads = st.one_of(texts(), damaged(), st.binary(max_size=40))

# -- the oracle --------------------------------------------------------------------------------------------


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


class Number(str):
    """A number as it was written: nobody reads one of 5000 digits."""

    __slots__ = ()


def parse(payload: bytes) -> Any:
    """Parse JSON as its RFC has it; ValueError or RecursionError where it is none."""
    return json.loads(payload.decode(), parse_constant=_no_constant, parse_int=Number, parse_float=Number)


def is_text(value: object) -> bool:
    return isinstance(value, str) and not isinstance(value, Number)


def says_utf8(value: object) -> bool:
    return is_text(value) and not any("\ud800" <= character <= "\udfff" for character in cast("str", value))


def is_request_id(value: object) -> bool:
    return says_utf8(value) and 1 <= len(cast("str", value).encode()) <= 128


def is_short_text(value: object) -> bool:
    return says_utf8(value) and 1 <= len(cast("str", value)) <= 64


def is_offset(value: object) -> bool:
    """Tell whether this is a whole number of the range, written without a fraction or an exponent."""
    is_whole = isinstance(value, Number) and len(value) <= 20 and value.removeprefix("-").isdigit()
    return is_whole and 0 <= int(cast("str", value)) <= 2**53 - 1


def is_place(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    members = cast("dict[str, Any]", value)
    return is_short_text(members.get("epoch")) and is_offset(members.get("offset"))


def is_flag(value: object) -> bool:
    return isinstance(value, bool)


OPTIONAL: dict[str, dict[str, Callable[[object], bool]]] = {
    "subscribe": {
        "includeSenderMetadata": is_flag,
        "recover": is_flag,
        "since": is_place,
        "producer": is_short_text,
    },
    "publish": {"id": is_short_text},
    "send": {"id": is_short_text},
}
"""Members that a client's frames may have, and what they must be then."""


def expected_code(payload: bytes) -> str | None:
    """Say which error code the protocol wants for what a client sent; None for a good frame."""
    try:
        frame = parse(payload)
    except (ValueError, RecursionError):
        return "malformed_message"
    if not isinstance(frame, dict):
        return "malformed_message"
    fields = cast("dict[str, Any]", frame)
    kind = fields.get("type")
    if not is_text(kind) or ("requestId" in fields and not is_request_id(fields["requestId"])):
        return "malformed_message"
    if kind not in CLIENT_TYPES:
        return "unknown_type"
    if any(
        name in fields and not is_right(fields[name]) for name, is_right in OPTIONAL.get(kind, {}).items()
    ):
        return "malformed_message"
    name = NAMED.get(kind)
    if name and not says_utf8(fields.get(name)):
        return "invalid_peer_id" if name == "to" else "invalid_channel"
    return None


# -- what must hold ----------------------------------------------------------------------------------------


def check_client(payload: bytes) -> None:
    """Hold the hub's decoder to the oracle."""
    expected = expected_code(payload)
    try:
        frame = decode_client_frame(payload)
    except FrameDecodeError as error:
        check_refusal(payload, error, expected)
        return
    assert expected is None, f"accepted, but the oracle says {expected}"
    assert isinstance(frame, get_args(ClientFrame))
    fields = parse(payload)
    assert frame.request_id == fields.get("requestId")
    if isinstance(frame, Subscribe):
        assert frame.include_sender_metadata == fields.get("includeSenderMetadata", False)
    if isinstance(frame, Publish | Send):
        assert (frame.data is not None) == ("data" in fields)
        assert frame.data is None or bytes(frame.data) in payload
    assert decode_client_frame(encode(frame)) == frame


def check_refusal(payload: bytes, error: FrameDecodeError, expected: str | None) -> None:
    """A refusal carries the right code and only ever the frame's own request id."""
    assert error.code == expected
    assert error.code in CLIENT_CODES
    if error.request_id is not None:
        assert error.request_id == parse(payload)["requestId"]
    elif error.code != "malformed_message":
        assert "requestId" not in parse(payload)


def check_server(payload: bytes) -> None:
    """The client's decoder raises one error only, and what it accepts is what the protocol promises."""
    try:
        frame = decode_server_frame(payload)
    except FrameDecodeError:
        return
    assert isinstance(frame, get_args(ServerFrame))
    data = getattr(frame, "data", None)
    if data is not None:
        assert bytes(data) in payload
        _read_or_refuse(bytes(data))
    twin = decode_server_frame(encode(frame))
    assert twin == frame


def _read_or_refuse(data: bytes) -> None:
    try:
        decode_data(data)
    except FrameDecodeError:
        return


def check(payload: bytes) -> None:
    """Check one payload against both decoders."""
    check_client(payload)
    check_server(payload)


def rounds(seconds: float, seed: int) -> int:
    """Fuzz until the time is up; gives the number of payloads tried."""
    tried = 0

    @settings(max_examples=1000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(payload=payloads)
    def one_round(payload: bytes) -> None:
        nonlocal tried
        tried += 1
        check(payload)

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        print(f"round with seed {seed}", file=sys.stderr)
        hypothesis.seed(seed)(one_round)()
        seed += 1
    return tried


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decoders", description="fuzz both decoders")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    chosen = parser.parse_args()
    tried = rounds(chosen.seconds, chosen.seed)
    print(f"{tried} payloads, no failure")


if __name__ == "__main__":
    main()
