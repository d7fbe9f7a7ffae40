"""Markdown: headings, paragraphs, list items and table cells; code and raw HTML stay out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from agentbus.cli.demo.passages import Passage, passage

_SPOKEN = {"text", "code_inline"}
_BREAKS = {"softbreak", "hardbreak"}


def read_markdown(text: str) -> list[Passage]:
    """Cut CommonMark with tables into passages."""
    tokens = MarkdownIt("commonmark").enable("table").parse(_without_front_matter(text))
    return list(_passages(tokens))


def _passages(tokens: Sequence[Token]) -> Iterator[Passage]:
    for before, token in pairwise(tokens):
        if token.type == "inline" and token.map:
            lines = _spoken_lines(token.children or [], token.map[0] + 1)
            found = passage(lines, heading=before.type in {"heading_open", "th_open"})
            if found and before.type != "th_open":
                yield found


def _spoken_lines(children: Sequence[Token], first: int) -> list[tuple[int, str]]:
    lines = [(first, "")]
    for child in children:
        number, text = lines[-1]
        if child.type in _BREAKS:
            lines.append((number + 1, ""))
        elif child.type in _SPOKEN:
            lines[-1] = (number, text + child.content)
    return lines


def _without_front_matter(text: str) -> str:
    """Blank a leading YAML block, keeping the line numbers of what follows."""
    lines = text.split("\n")
    if lines[0].rstrip() != "---":
        return text
    for number, line in enumerate(lines[1:200], start=1):
        if line.rstrip() in {"---", "..."}:
            return "\n".join([""] * (number + 1) + lines[number + 1 :])
    return text
