"""HTML: the text of block elements, by the standard library's tolerant parser, which knows its line."""

from __future__ import annotations

from html.parser import HTMLParser

from agentbus.cli.demo.passages import Passage, passage

_HEADINGS = {"title", "h1", "h2", "h3", "h4", "h5", "h6"}
_BLOCK_TAGS = (
    "address article aside blockquote body br caption dd details div dl dt fieldset figcaption figure footer "
    "form header hr legend li main nav ol option p section select summary table tbody td tfoot th thead tr ul"
)
_SILENT_TAGS = "canvas math nav noscript object pre script style svg template textarea"
_BLOCKS = _HEADINGS.union(_BLOCK_TAGS.split())
_SILENT = frozenset(_SILENT_TAGS.split())


def read_html(text: str) -> list[Passage]:
    """Cut HTML into passages; scripts, styles, navigation and preformatted code stay out."""
    reader = _HtmlReader()
    reader.feed(text)
    reader.close()
    reader.end_block()
    return reader.passages


class _HtmlReader(HTMLParser):
    """Collect the text between the borders of block elements."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.passages: list[Passage] = []
        self._lines: list[tuple[int, str]] = []
        self._heading = False
        self._silenced: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs  # of no interest
        if tag in _SILENT:
            self._silenced.append(tag)
        if tag in _BLOCKS:
            self.end_block()
            self._heading = tag in _HEADINGS

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _SILENT:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._silenced:
            del self._silenced[self._silenced.index(tag) :]
        if tag in _BLOCKS:
            self.end_block()

    def handle_data(self, data: str) -> None:
        if self._silenced:
            return
        first = self.getpos()[0]
        for number, text in enumerate(data.split("\n"), start=first):
            if self._lines and self._lines[-1][0] == number:
                self._lines[-1] = (number, self._lines[-1][1] + text)
            else:
                self._lines.append((number, text))

    def end_block(self) -> None:
        """Close the passage that is being collected."""
        found = passage(self._lines, heading=self._heading)
        if found:
            self.passages.append(found)
        self._lines = []
        self._heading = False
