r"""Channel patterns: what a key or token is allowed to touch (spec section 8).

`*` matches any run of characters without `/`, `**` any run at all; `\*` and `\\` are a literal star and
backslash; everything else is itself. Three stars or more say no more than two.

Matching takes time proportional to the channel's length, whatever the pattern: patterns come from tokens, and
a backtracking matcher would let one of them stop the hub.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial

_STAR = "*"
_GLOBSTAR = "**"
_LITERAL = ""

_Piece = tuple[str, str]
"""(_STAR | _GLOBSTAR, "") or (_LITERAL, text)."""


class Pattern:
    """A compiled pattern; `compile_pattern` makes one.

    Attributes:
        text: the pattern as it was written.
        matches: tells whether the whole of a channel name matches.
    """

    __slots__ = ("matches", "text")

    text: str
    matches: Callable[[str], bool]

    def __init__(self, text: str) -> None:
        self.text = text
        self.matches = _matcher(list(_pieces(text)))

    def __repr__(self) -> str:
        return f"Pattern({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __reduce__(self) -> tuple[Callable[[str], Pattern], tuple[str]]:
        return compile_pattern, (self.text,)


def covers(outer: str, inner: str) -> bool:
    """Tell whether `outer` surely matches every channel that `inner` matches.

    A wildcard of `inner` has to meet one of `outer` that stands for at least as much. For a few odd pairs
    that is too strict (`**/**` says no more than `*/**`): then the answer is no, never a false yes.
    """
    return _automaton(outer).covers(_pieces(inner))


@lru_cache(maxsize=1024)
def _automaton(pattern: str) -> _Automaton:
    return _Automaton(list(_pieces(pattern)))


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """Compile a channel pattern; every text is one."""
    return Pattern(text)


def _pieces(text: str) -> Iterator[_Piece]:
    """Split into literals and wildcards, no two wildcards in a row."""
    literal: list[str] = []
    at = 0
    while at < len(text):
        if text[at] == "*":
            run = len(text) - at - len(text[at:].lstrip("*"))
            if literal:
                yield _LITERAL, "".join(literal)
                literal = []
            yield (_STAR if run == 1 else _GLOBSTAR), ""
            at += run
            continue
        at += text[at : at + 2] in {r"\*", r"\\"}
        literal.append(text[at])
        at += 1
    if literal:
        yield _LITERAL, "".join(literal)


def _matcher(pieces: list[_Piece]) -> Callable[[str], bool]:
    """Choose the cheapest matcher: most patterns are a literal, or a literal around one wildcard."""
    wildcards = [index for index, (kind, _text) in enumerate(pieces) if kind]
    if not wildcards:
        return partial(_is_literal, "".join(text for _kind, text in pieces))
    if len(wildcards) > 1:
        return _Automaton(pieces)
    prefix = "".join(text for _kind, text in pieces[: wildcards[0]])
    suffix = "".join(text for _kind, text in pieces[wildcards[0] + 1 :])
    if pieces[wildcards[0]][0] == _GLOBSTAR:
        return partial(_has_ends, prefix, suffix, len(prefix) + len(suffix))
    return partial(_has_ends_and_no_slash, prefix, suffix, len(prefix) + len(suffix))


def _is_literal(literal: str, channel: str) -> bool:
    return channel == literal


def _has_ends(prefix: str, suffix: str, least: int, channel: str) -> bool:
    return len(channel) >= least and channel.startswith(prefix) and channel.endswith(suffix)


def _has_ends_and_no_slash(prefix: str, suffix: str, least: int, channel: str) -> bool:
    return (
        len(channel) >= least
        and channel.startswith(prefix)
        and channel.endswith(suffix)
        and channel.find("/", len(prefix), len(channel) - len(suffix)) < 0
    )


class _Automaton:
    """Follow all ways to match at once: bit i of `reached` says that the first i units can end here.

    A unit is a character or a wildcard. No two wildcards are neighbours, so stepping over one is one shift.
    """

    __slots__ = ("_accept", "_any", "_characters", "_no_slash")

    def __init__(self, pieces: list[_Piece]) -> None:
        self._characters: dict[str, int] = {}
        self._any = 0
        self._no_slash = 0
        unit = 1
        for kind, text in pieces:
            for character in text:
                self._characters[character] = self._characters.get(character, 0) | unit
                unit <<= 1
            if kind == _GLOBSTAR:
                self._any |= unit
            elif kind == _STAR:
                self._no_slash |= unit
            unit <<= bool(kind)
        self._accept = unit

    def covers(self, pieces: Iterator[_Piece]) -> bool:
        """Follow a pattern instead of a channel: each of its wildcards has to be inside one of these."""
        wildcards = self._any | self._no_slash
        reached = 1 | (1 & wildcards) << 1
        for kind, text in pieces:
            if kind:
                reached &= self._any if kind == _GLOBSTAR else wildcards
                reached |= reached << 1
            for character in text:
                stay = self._any if character == "/" else wildcards
                reached = (reached & self._characters.get(character, 0)) << 1 | reached & stay
                reached |= (reached & wildcards) << 1
            if not reached:
                return False
        return bool(reached & self._accept)

    def __call__(self, channel: str) -> bool:
        wildcards = self._any | self._no_slash
        reached = 1 | (1 & wildcards) << 1
        for character in channel:
            stay = self._any if character == "/" else wildcards
            reached = (reached & self._characters.get(character, 0)) << 1 | reached & stay
            reached |= (reached & wildcards) << 1
            if not reached:
                return False
        return bool(reached & self._accept)
