from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentbus.client.states import (
    CLOSED,
    CONNECTED,
    CONNECTING,
    IDLE,
    RECONNECTING,
    TRANSITIONS,
    Happening,
    SignallingClientState,
    after,
    diagram,
)

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "client.md"


def test_the_reference_page_s_diagram() -> None:
    """Every arrow of the reference page's picture."""
    assert after(IDLE, Happening.CONNECT) is CONNECTING
    assert after(CONNECTING, Happening.WELCOME) is CONNECTED
    assert after(CONNECTED, Happening.CLOSE) is CLOSED
    assert after(CONNECTED, Happening.LOST) is RECONNECTING
    assert after(RECONNECTING, Happening.WELCOME) is CONNECTED
    assert after(RECONNECTING, Happening.END) is CLOSED


def test_a_first_attempt_is_never_retried_behind_its_caller_s_back() -> None:
    with pytest.raises(LookupError):
        after(CONNECTING, Happening.LOST)


@given(st.sampled_from(SignallingClientState))
def test_connect_and_close_are_possible_always(state: SignallingClientState) -> None:
    assert after(state, Happening.CLOSE) is CLOSED
    assert after(state, Happening.CONNECT) is not CLOSED
    assert after(after(state, Happening.CLOSE), Happening.CONNECT) is CONNECTING


@given(st.lists(st.sampled_from(Happening)))
def test_a_welcome_alone_leads_to_connected(happenings: list[Happening]) -> None:
    state = IDLE
    for happening in happenings:
        if (state, happening) not in TRANSITIONS:
            continue
        following = after(state, happening)
        if following is CONNECTED and state is not CONNECTED:
            assert happening is Happening.WELCOME
        state = following
        assert state is not IDLE


def test_the_guide_shows_the_table() -> None:
    assert f"```mermaid\n{diagram()}\n```" in GUIDE.read_text()
