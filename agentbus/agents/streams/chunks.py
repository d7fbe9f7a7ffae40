"""Chunks in envelopes: their wire form, and how many share one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from agentbus.agents.calls import type_and_version
from agentbus.agents.envelope import Envelope, encode_body
from agentbus.errors import AgentError, CreditExceededError, EncodeError, UndecodableMessageError

ENVELOPE_BYTES = 16_384
"""Chunks share an envelope up to so many bytes; a larger chunk has one of its own."""

BYTES_VERSION = 0
"""Without a type, this version says that the chunks are bytes, in base64; 1 says plain JSON."""


class Chunk(msgspec.Struct, frozen=True):
    """One chunk, encoded.

    Attributes:
        type: wire name; empty for bytes and plain JSON.
        version: of the type; see `BYTES_VERSION`.
        body: its JSON.
    """

    type: str
    version: int
    body: msgspec.Raw


def encode_chunk(value: Any) -> Chunk:
    """Give the wire form of a message, bytes or a plain JSON value.

    Raises:
        EncodeError: it has no JSON form.
    """
    name, version = ("", BYTES_VERSION) if isinstance(value, bytes) else type_and_version(value)
    try:
        return Chunk(name, version, encode_body(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(f"the chunk has no JSON form: {error}") from None


def batches(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    """Put neighbours of one type together, up to `ENVELOPE_BYTES`."""
    batch: list[Chunk] = []
    size = 0
    for chunk in chunks:
        length = len(chunk.body)
        fits = batch and (batch[0].type, batch[0].version) == (chunk.type, chunk.version)
        if batch and not (fits and size + length <= ENVELOPE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(chunk)
        size += length + 1
    if batch:
        yield batch


def join(batch: list[Chunk]) -> msgspec.Raw:
    """Give the body of an envelope with these chunks: a JSON array."""
    return msgspec.Raw(b"[" + b",".join(bytes(chunk.body) for chunk in batch) + b"]")


_bodies = msgspec.json.Decoder(list[msgspec.Raw])
_bytes = msgspec.json.Decoder(bytes)


def take_chunks(
    envelope: Envelope,
    put: Callable[[Any], bool],
    decode: Callable[[str, int, msgspec.Raw], Any],
) -> AgentError | None:
    """Hand on the chunks of an envelope one by one.

    Args:
        envelope: see `join`.
        put: takes a chunk; False if there was no credit for it.
        decode: reads a message or plain JSON: its type, its version and its body.

    Returns:
        What is wrong with the envelope, None if it was all right.
    """
    in_base64 = not envelope.type and envelope.version == BYTES_VERSION
    try:
        for body in _bodies.decode(envelope.body):
            value = _bytes.decode(body) if in_base64 else decode(envelope.type, envelope.version, body)
            if not put(value):
                return CreditExceededError("the other node sent more chunks than it was granted")
    except UndecodableMessageError as error:
        return error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return UndecodableMessageError(f"not an array of chunks: {error}")
    return None
