"""One reader per document format: text in, passages with line numbers out."""

from __future__ import annotations

from collections.abc import Callable

from agentbus.cli.demo.formats.html import read_html
from agentbus.cli.demo.formats.light import read_plain, read_rst
from agentbus.cli.demo.formats.markdown import read_markdown
from agentbus.cli.demo.formats.python import read_python
from agentbus.cli.demo.passages import Passage

__all__ = ["READERS", "Reader", "read_html", "read_markdown", "read_plain", "read_python", "read_rst"]

Reader = Callable[[str], list[Passage]]
"""Text of one file in, its passages out; `ValueError` says why it cannot be read."""

READERS: dict[str, Reader] = {
    "html": read_html,
    "markdown": read_markdown,
    "python": read_python,
    "rst": read_rst,
    "text": read_plain,
}
