from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.cli.text import UNPRINTABLE, clean, clean_json


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("a\r\nb", r"a\r\nb"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("\x9b31m", r"\x9b31m"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
        ("plain, ünïcode, 日本, 👍🏽", "plain, ünïcode, 日本, 👍🏽"),
    ],
)
def test_what_moves_a_cursor_becomes_visible(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@given(st.text())
def test_clean_text_stays_clean(text: str) -> None:
    assert not UNPRINTABLE.search(clean(text))
    assert clean(clean(text)) == clean(text)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_cleaned_json_means_the_same(text: str) -> None:
    line = clean_json(msgspec.json.encode(text).decode())
    assert not UNPRINTABLE.search(line)
    assert msgspec.json.decode(line) == text
