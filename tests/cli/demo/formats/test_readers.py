"""Every reader on text that shows what it takes, what it leaves, and on which line it stands."""

from __future__ import annotations

from contextlib import suppress
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.cli.demo.formats import READERS
from agentbus.cli.demo.passages import Passage


def shown(passages: list[Passage]) -> list[tuple[int, str]]:
    return [(one.lines[0].number, ("# " if one.heading else "") + one.text) for one in passages]


def read(kind: str, text: str) -> list[tuple[int, str]]:
    return shown(READERS[kind](dedent(text)))


def test_markdown() -> None:
    text = """\
    ---
    title: front matter
    ---
    # The *bus*

    First [line](http://x)
    and `code` here.

    ```
    skipped code
    ```

    - an item
    - another
      goes on

    | head | cells |
    |---|---|
    | one | two |

    > quoted
    """
    assert read("markdown", text) == [
        (4, "# The bus"),
        (6, "First line and code here."),
        (13, "an item"),
        (14, "another goes on"),
        (19, "one"),
        (19, "two"),
        (21, "quoted"),
    ]


def test_markdown_without_the_end_of_its_front_matter_is_read_whole() -> None:
    assert read("markdown", "---\n\nprose\n") == [(3, "prose")]


def test_rst() -> None:
    text = """\
    =====
    Title
    =====

    A :class:`~pkg.Thing` and ``code`` and *stress* and `text <http://x>`_.

    .. code-block:: python

        skipped = True

        skipped = True

    .. note:: skipped marker

        A note is prose.

    Literal::

        skipped

    - item one
    - item two

    :field: skipped

    >>> skipped
    skipped output

    ====  ====
    a     b
    ====  ====

    Under
    -----
    Last.
    """
    assert read("rst", text) == [
        (2, "# Title"),
        (5, "A Thing and code and stress and text."),
        (15, "A note is prose."),
        (17, "Literal:"),
        (21, "item one"),
        (22, "item two"),
        (30, "a b"),
        (33, "# Under"),
        (35, "Last."),
    ]


def test_plain_text_keeps_what_only_looks_like_markup() -> None:
    text = """\
    NOTES
    *****

    .. not a directive
    1. first
    2. second

    *kept* `kept`
    """
    assert read("text", text) == [
        (1, "# NOTES"),
        (4, ".. not a directive"),
        (5, "first"),
        (6, "second"),
        (8, "*kept* `kept`"),
    ]


def test_html() -> None:
    text = """\
    <html><head><title>The page</title>
    <style>skipped { }</style></head>
    <body><nav>skipped</nav>
    <h1>Head</h1>
    <p>One &amp; <b>bold</b>
    two<br>three</p>
    <script>skipped()</script><div>loose <code>code</code>
    <pre>skipped</pre></div>
    <ul><li>item<li>unclosed</ul> tail
    """
    assert read("html", text) == [
        (1, "# The page"),
        (4, "# Head"),
        (5, "One & bold two"),
        (6, "three"),
        (7, "loose code"),
        (9, "item"),
        (9, "unclosed"),
        (9, "tail"),
    ]


def test_python() -> None:
    text = '''\
    #!/usr/bin/env python
    """The module.

    More about it.
    """
    import os  # noqa: F401

    # -- a section ------
    # goes on
    x = 1


    def f(a: int) -> int:
        """Do it.

        Args:
            a: skipped
        """
        # inside
        return a


    class C:
        """First line
        and second.

        Example::

            skipped
        """
    '''
    assert read("python", text) == [
        (2, "The module."),
        (4, "More about it."),
        (8, "a section goes on"),
        (14, "Do it."),
        (19, "inside"),
        (24, "First line and second."),
        (27, "Example:"),
    ]


@pytest.mark.parametrize(("text", "line"), [("def (:\n", 1), ("x = 1\nprint 'old'\n", 2)])
def test_text_that_is_no_python_says_where(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=rf"not valid Python \(line {line}\)"):
        READERS["python"](text)


def test_python_nested_too_deeply_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="Python"):
        READERS["python"]("-" * 100_000 + "1")


MARKUP = st.text(alphabet=st.sampled_from(list("ab<>/=#*`|-_.:[]()!&;\"' \n\t\\é。")), max_size=200)


@pytest.mark.parametrize("kind", sorted(set(READERS) - {"python"}))
@given(text=MARKUP)
def test_no_text_breaks_a_reader(kind: str, text: str) -> None:
    for one in READERS[kind](text):
        assert one.text
        assert all(1 <= line.number <= text.count("\n") + 1 for line in one.lines)


@given(text=MARKUP)
def test_any_text_is_python_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert all(one.text for one in READERS["python"](text))
