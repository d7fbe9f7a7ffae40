"""Text from elsewhere, before it meets a terminal: what moves a cursor or turns a line becomes visible."""

from __future__ import annotations

import re

UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters
    "\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction, zero width
    "\u2028\u2029\ud800-\udfff\U000e0000-\U000e007f]"  # line ends of their own, half characters, tags
)


def clean(text: str) -> str:
    r"""Write unprintable characters as escapes: ESC becomes the four characters `\x1b`."""
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def clean_json(line: str) -> str:
    """Write unprintable characters of one line of JSON as JSON escapes: the value stays what it was."""
    return UNPRINTABLE.sub(lambda found: _json_escape(found[0]), line)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", errors="surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
