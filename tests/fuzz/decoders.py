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
request_ids: Strategy = st.text(min_size=1, max_size=4) | st.text("aé😀", min_size=30, max_size=140)
FIELDS: dict[str, Strategy] = {
    "requestId": request_ids,
    "channel": names,
    "to": names,
    "from": names,
    "data": values,
    "includeSenderMetadata": st.booleans(),
    "fromMetadata": values,
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
    "subscribe": ("channel", "includeSenderMetadata", "requestId"),
    "unsubscribe": ("channel", "requestId"),
    "publish": ("channel", "data", "requestId"),
    "send": ("to", "data", "requestId"),
    "ping": ("requestId",),
    "welcome": ("peerId", "expiresAt", "serverTime", "maxMessageSize", "metadata", "extensions"),
    "ack": ("requestId",),
    "error": ("code", "requestId", "message"),
    "message": ("channel", "from", "data", "fromMetadata"),
    "direct": ("from", "data", "fromMetadata"),
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


def parse(payload: bytes) -> Any:
    """Parse JSON as its RFC has it; ValueError or RecursionError where it is none."""
    return json.loads(
        payload.decode(), parse_constant=_no_constant, parse_int=str.__len__, parse_float=str.__len__
    )


def says_utf8(value: object) -> bool:
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def is_request_id(value: object) -> bool:
    return says_utf8(value) and 1 <= len(cast("str", value).encode()) <= 128


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
    if not isinstance(kind, str) or ("requestId" in fields and not is_request_id(fields["requestId"])):
        return "malformed_message"
    if kind not in CLIENT_TYPES:
        return "unknown_type"
    if kind == "subscribe" and not isinstance(fields.get("includeSenderMetadata", False), bool):
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
