"""Waiting until the other nodes have been told."""

from __future__ import annotations

import pytest

from agentbus.agents.announcing import Announcing
from agentbus.errors import NotConnectedError, NotTrustedError, SignallingServerError
from agentbus.runtime import Future


def attached(announcing: Announcing) -> Future[None]:
    said = announcing.attach()
    assert said is not None
    return said


def test_who_waits_is_released_once_the_message_is_passed_on() -> None:
    announcing = Announcing()
    assert announcing.attach() is None
    waiting = announcing.wait()
    said = attached(announcing)
    later = announcing.wait()
    said.set(None)
    assert waiting.done()
    assert not later.done(), "it came after the message"
    announcing.nothing_to_say()
    assert later.done()


def test_what_was_lost_with_a_connection_is_waited_for_on_the_next() -> None:
    announcing = Announcing()
    waiting = announcing.wait()
    lost = attached(announcing)
    announcing.offline()
    lost.set(None)
    assert not waiting.done()
    attached(announcing).set_exception(NotConnectedError())
    assert not waiting.done()
    attached(announcing).set(None)
    assert waiting.get(timeout=0) is None


def test_a_refusal_and_the_end_are_told() -> None:
    announcing = Announcing()
    refused = announcing.wait()
    attached(announcing).set_exception(SignallingServerError("over_message_quota", "no more", None))
    with pytest.raises(SignallingServerError):
        refused.get(timeout=0)
    ended, saying = announcing.wait(), announcing.wait()
    attached(announcing)
    announcing.fail(NotTrustedError("no"))
    for each in (ended, saying):
        with pytest.raises(NotTrustedError):
            each.get(timeout=0)
