"""Plain text, reStructuredText and docstrings: prose marked by blank lines, indentation and punctuation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable

from agentbus.cli.demo.passages import Passage, passage

_BULLET = re.compile(r"(?:[-*+•]|\(?(?:\d{1,3}|[a-zA-Z]|#)[.)])\s+")
_ADORNMENT = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}$")
_TABLE = re.compile(r"[+|]|[=-]{2,}(?:\s+[=-]{2,})+$")
_DIRECTIVE = re.compile(r"\.\.(?:\s+(?:([\w:-]+)::)?|$)")
_PROSE_DIRECTIVES = {
    "admonition", "attention", "caution", "danger", "error", "hint", "important", "note", "seealso", "tip",
    "topic", "warning",
}  # fmt: skip
_FIELD = re.compile(r":[^:`]+:(?=\s|$)")
_SECTION = re.compile(
    r"(?:args|arguments|parameters|other parameters|params|attributes|returns?|yields?|raises|warns|"
    r"examples?|references|see also|methods|keyword args|keyword arguments):?$",
    re.IGNORECASE,
)
_INLINE = (
    (re.compile(r":[\w:+.-]+:`~[^`<]*?([^`.<]+)`"), r"\1"),
    (re.compile(r":[\w:+.-]+:`([^`<]+?)(?:\s*<[^`>]*>)?`"), r"\1"),
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`__?"), r"\1"),
    (re.compile(r"``([^`]+)``|`([^`]+)`_{0,2}"), r"\1\2"),
    (re.compile(r"(?<![\w*])\*{1,2}([^*\s](?:[^*]*[^*\s])?)\*{1,2}(?![\w*])"), r"\1"),
)


def read_plain(text: str) -> list[Passage]:
    """Cut plain text into paragraphs and list items; an underlined line is a heading."""
    return _LightReader(rst=False).read(enumerate(text.split("\n"), start=1))


def read_rst(text: str) -> list[Passage]:
    """Cut reStructuredText into passages; literal blocks, tables and most directives stay out."""
    return _LightReader(rst=True).read(enumerate(text.split("\n"), start=1))


def read_docstring(text: str, first_line: int) -> list[Passage]:
    """Cut a docstring up to its first section of arguments, results or examples."""
    first, _, rest = text.partition("\n")
    lines = [first, *textwrap.dedent(rest).split("\n")]
    end = next((i for i, line in enumerate(lines) if i and _SECTION.match(line.strip())), len(lines))
    return _LightReader(rst=True).read(enumerate(lines[:end], start=first_line))


class _LightReader:
    """Read line by line; a line closes, continues or silences a passage."""

    def __init__(self, *, rst: bool) -> None:
        self._rst = rst
        self._found: list[Passage] = []
        self._open: list[tuple[int, str]] = []
        self._silent_below: int | None = None  # columns: deeper lines belong to a skipped block
        self._doctest = False

    def read(self, lines: Iterable[tuple[int, str]]) -> list[Passage]:
        """Read numbered lines to the end."""
        for number, line in lines:
            self._line(number, line.expandtabs())
        self._close()
        return self._found

    def _line(self, number: int, line: str) -> None:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if not text:
            self._blank()
        elif self._silenced(indent):
            return
        elif _ADORNMENT.match(text):
            self._adornment()
        elif not (self._rst and self._markup(text, indent)):
            self._prose(number, text, indent)

    def _blank(self) -> None:
        self._doctest = False
        self._close()

    def _silenced(self, indent: int) -> bool:
        if self._silent_below is not None and indent <= self._silent_below:
            self._silent_below = None
        return self._silent_below is not None or self._doctest

    def _adornment(self) -> None:
        """A line above it makes a title of that line; alone, it is an overline or a rule."""
        self._close(heading=len(self._open) == 1)

    def _markup(self, text: str, indent: int) -> bool:
        """Handle what reStructuredText means otherwise than prose; tell whether it was that."""
        directive = _DIRECTIVE.match(text)
        if directive:
            self._close()
            if directive[1] not in _PROSE_DIRECTIVES:
                self._silent_below = indent
            return True
        if text.startswith(">>>"):
            self._close()
            self._doctest = True
            return True
        return bool(_FIELD.match(text) or _TABLE.match(text))

    def _prose(self, number: int, text: str, indent: int) -> None:
        bullet = _BULLET.match(text)
        if bullet:
            self._close()
            text = text[bullet.end() :]
        if self._rst and text.endswith("::"):
            self._silent_below = indent
        self._open.append((number, text))

    def _close(self, *, heading: bool = False) -> None:
        lines, self._open = self._open, []
        found = passage(((n, _spoken(text) if self._rst else text) for n, text in lines), heading=heading)
        if found:
            self._found.append(found)


def _spoken(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return text.removesuffix(":") if text.endswith("::") else text
