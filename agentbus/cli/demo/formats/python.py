"""Python: docstrings and comments; the code itself stays out."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from itertools import groupby

from agentbus.cli.demo.formats.light import read_docstring
from agentbus.cli.demo.passages import Passage, passage

_TOOL_COMMENT = re.compile(
    r"#(?:!|\s*(?:-\*-|noqa|type:|pyright:|mypy:|ruff:|isort:|fmt:|pylint:|pragma|coding[:=]|[-=#*~ ]+$))",
    re.IGNORECASE,
)
_RULER = re.compile(r"^#+\s*[-=~*]{2,}\s*|\s*[-=~*]{2,}$|^#+:?\s*")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def read_python(text: str) -> list[Passage]:
    """Cut a module's docstrings and comments into passages, in the order of the file.

    Raises:
        ValueError: if this is not Python that the running interpreter can parse; the text says where.
    """
    found = [*_docstrings(_parse(text)), *_comments(text)]
    return sorted(found, key=lambda one: one.lines[0].number)


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise ValueError(f"not valid Python (line {error.lineno})") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("not readable Python: nested too deeply") from error


def _docstrings(tree: ast.Module) -> Iterator[Passage]:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and node.body and isinstance(node.body[0], ast.Expr):
            value = node.body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield from read_docstring(value.value, value.lineno)


def _comments(text: str) -> Iterator[Passage]:
    """Yield runs of comment lines; a run ends where a line without a comment stands."""
    numbered = enumerate(_comment_lines(text))
    for _, run in groupby(numbered, key=lambda pair: pair[1][0] - pair[0]):
        found = passage((number, _RULER.sub("", comment)) for _, (number, comment) in run)
        if found:
            yield found


def _comment_lines(text: str) -> Iterator[tuple[int, str]]:
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and not _TOOL_COMMENT.match(token.string):
                yield token.start[0], token.string
    except (tokenize.TokenError, SyntaxError):
        return  # the parser took it, the tokenizer stopped half-way: what came before stands
