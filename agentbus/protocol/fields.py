r"""A JSON object taken apart, member by member, each kept as its own JSON text.

JSON allows what msgspec does not: a lone surrogate in escaped form (`"\ud83d"`, which JavaScript and Python
both write for a string that was cut in half). What msgspec refuses is offered to the standard library.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

Payload = bytes | bytearray | memoryview
Fields = dict[str, bytes]
"""Members of an object: name to JSON text. Of several members with one name it holds the last."""

MOST_MEMBERS = 256
"""Members of an object that msgspec refuses; to read more of them one by one takes tens of milliseconds."""

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What msgspec raises for bytes that it cannot read: bad JSON, bad UTF-8, absurd numbers, absurd nesting."""

_MEMBERS = msgspec.json.Decoder(dict[str, Raw])
_STRING = msgspec.json.Decoder(str)
_ANYTHING = msgspec.json.Decoder(Raw)


def split_fields(text: str) -> Fields | None:
    """Take one JSON object apart; None where the text is none."""
    try:
        members = _MEMBERS.decode(text)
    except UNREADABLE:
        members = None
    if members is not None:
        return {name: bytes(value) for name, value in members.items()}
    try:
        return _split_object(text)
    except (ValueError, RecursionError):
        return None


def join_fields(fields: Fields) -> bytes:
    """Put an object together again."""
    return b"{" + b",".join(msgspec.json.encode(name) + b":" + text for name, text in fields.items()) + b"}"


def read_string(text: bytes | None) -> str | None:
    """Read a JSON string; None where it is absent, something else, or cannot be said in UTF-8."""
    if text is None:
        return None
    try:
        return _STRING.decode(text)
    except UNREADABLE:
        return None


def is_json(text: Payload) -> bool:
    """Tell whether this is one JSON value in UTF-8, lone surrogates in escaped form included."""
    try:
        _ANYTHING.decode(text)
        str(text, "utf-8")
    except UNREADABLE:
        return _is_unusual_json(text)
    return True


def load(text: bytes) -> tuple[bool, Any]:
    """Read one JSON value: (True, value), or (False, None) where that fails. Raises nothing."""
    try:
        return True, msgspec.json.decode(text)
    except UNREADABLE:
        pass
    try:
        return True, _STANDARD.decode(str(text, "utf-8"))
    except (ValueError, RecursionError):
        return False, None


def mend(text: bytes) -> bytes:
    r"""Put U+FFFD in place of every lone surrogate in escaped form, as `toWellFormed()` does."""
    return _ESCAPE.sub(_mended, text)


_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def _mended(escape: re.Match[bytes]) -> bytes:
    return rb"\ufffd" if escape[1] else escape[0]


def _is_unusual_json(text: Payload) -> bool:
    try:
        _LENIENT.decode(str(text, "utf-8"))
    except (ValueError, RecursionError):
        return False
    return True


# -- the standard library's parser, which knows where each value ends --------------------------------------


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity are not JSON


def _skip_number(_digits: str) -> None:
    """Read no number: only its end matters, and a long one takes quadratic time."""


_STANDARD = json.JSONDecoder(parse_constant=_no_constant)
_LENIENT = json.JSONDecoder(parse_constant=_no_constant, parse_int=_skip_number, parse_float=_skip_number)
_BLANKS = re.compile(r"[ \t\n\r]*")
_EMPTY_OBJECT = re.compile(r"[ \t\n\r]*\{[ \t\n\r]*\}[ \t\n\r]*")


def _split_object(text: str) -> Fields:
    """Take an object apart; ValueError where it is none, or has too many members."""
    members: Fields = {}
    if _EMPTY_OBJECT.fullmatch(text):
        return members
    at = _after(text, 0, "{")
    for _ in range(MOST_MEMBERS):
        _after(text, at, '"')
        name, at = _LENIENT.raw_decode(text, _blanks(text, at))
        begin = _blanks(text, _after(text, at, ":"))
        _value, end = _LENIENT.raw_decode(text, begin)
        members[name] = text[begin:end].encode()
        at = _blanks(text, end)
        if text.startswith("}", at):
            if _blanks(text, at + 1) != len(text):
                raise ValueError
            return members
        at = _after(text, at, ",")
    raise ValueError


def _after(text: str, at: int, character: str) -> int:
    """Return where the text goes on after blanks and this character; ValueError where it is another."""
    at = _blanks(text, at)
    if not text.startswith(character, at):
        raise ValueError(character)
    return at + 1


def _blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at
