from __future__ import annotations

import itertools

import pytest

from agentbus.agents.permissions import Grants, is_refusal
from agentbus.errors import AckTimeoutError, MissingPermission, SignallingServerError


@pytest.mark.parametrize(
    ("grants", "action"),
    [
        (Grants(publish=True, send=True, presence=True), "subscribe"),
        (Grants(subscribe=True, presence=True), "publish"),
        (Grants(subscribe=True, send=True), "presence"),
        (Grants(subscribe=True, publish=True), "send"),
    ],
)
def test_what_is_missing_is_named(grants: Grants, action: str) -> None:
    with pytest.raises(MissingPermission) as caught:
        grants.check()
    assert caught.value.action == action
    assert caught.value.feature


@pytest.mark.parametrize(
    "grants",
    [
        Grants(subscribe=True, publish=True, send=True, presence=True),
        Grants(subscribe=True, publish=True, send=True),
        Grants(subscribe=True, send=True, presence=True),
        Grants(subscribe=True, publish=True, inbox=True),
    ],
)
def test_enough_is_enough(grants: Grants) -> None:
    grants.check()


def test_whatever_passes_can_reach_nodes_and_be_seen() -> None:
    for flags in itertools.product((False, True), repeat=5):
        grants = Grants(*flags)
        try:
            grants.check()
        except MissingPermission:
            continue
        assert grants.subscribe
        assert grants.send or (grants.publish and grants.inbox)
        assert grants.publish or (grants.send and grants.presence)


def test_broadcast_needs_publish() -> None:
    Grants(publish=True).check_broadcast()
    with pytest.raises(MissingPermission, match="broadcast"):
        Grants(send=True).check_broadcast()


def test_a_refusal_is_told_from_a_mishap() -> None:
    assert is_refusal(SignallingServerError("action_not_permitted"))
    assert is_refusal(SignallingServerError("channel_not_authorized"))
    assert not is_refusal(SignallingServerError("backend_error"))
    assert not is_refusal(AckTimeoutError(15))
    assert not is_refusal(None)
