"""The rules of deciding: once, in time, on one payload, by those who may."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentbus import Decide, RequestApproval
from agentbus.agents.approvals.messages import MAX_PAYLOAD_BYTES, digest_of
from agentbus.agents.approvals.register import MAX_AUDIT, MAX_PENDING, MAX_SETTLED, Register, State
from agentbus.errors import (
    ApprovalError,
    DecisionRefusedError,
    NoSuchApprovalError,
    PayloadChanged,
    TooManyApprovalsError,
)

DECIDER, ASKER, OTHER = "ns/n/decider", "ns/n/asker", "ns/n/other"
PAYLOAD = {"euro": 40, "to": "Bob"}
DIGEST = digest_of("pay", PAYLOAD)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def asked(key: str = "k", payload: Any = PAYLOAD, ttl: float = 60.0) -> RequestApproval:
    return RequestApproval(key=key, action="pay", payload=payload, ttl=ttl)


def decision(approve: bool = True, *, key: str = "k", by: str = "Ada", digest: str = DIGEST) -> Decide:
    return Decide(key=key, approve=approve, by=by, digest=digest)


def register() -> Register:
    made = Register(frozenset({DECIDER}))
    made.request(asked(), ASKER, 0.0)
    return made


def events(of: Register) -> list[str]:
    return [entry.event for entry in of.audit_after(0)]


@pytest.mark.parametrize("sender", [None, DECIDER])
def test_programs_and_deciders_decide(sender: str | None) -> None:
    desk = register()
    assert desk.decide(decision(), sender, 1.0).status == "approved"
    assert desk.pending(1.0) == []
    assert events(desk) == ["asked", "approved"]


@pytest.mark.parametrize(("sender", "reason"), [(OTHER, "agent"), (ASKER, "asker")])
def test_no_other_agent_decides_and_the_asker_never(sender: str, reason: str) -> None:
    desk = Register(frozenset({DECIDER, ASKER}))
    desk.request(asked(), ASKER, 0.0)
    with pytest.raises(DecisionRefusedError) as caught:
        desk.decide(decision(), sender, 1.0)
    assert caught.value.reason == reason
    assert desk.look("k", 1.0).status == "pending"
    assert events(desk) == ["asked", "refused"]


def test_a_decider_that_asks_for_the_same_has_become_an_asker() -> None:
    desk = register()
    desk.request(asked(), DECIDER, 1.0)
    with pytest.raises(DecisionRefusedError, match="who asks does not decide"):
        desk.decide(decision(), DECIDER, 1.0)


def test_it_is_decided_once() -> None:
    desk = register()
    first = desk.decide(decision(approve=False), None, 1.0)
    assert desk.decide(decision(approve=False), None, 2.0) == first, (
        "the very same again, as after a lost answer"
    )
    for other in (decision(approve=True), decision(approve=False, by="Bob")):
        with pytest.raises(DecisionRefusedError) as caught:
            desk.decide(other, None, 2.0)
        assert caught.value.reason == "decided"
    assert desk.look("k", 2.0) == first


def test_after_its_time_it_has_expired_for_good() -> None:
    desk = register()
    assert desk.look("k", 59.9).status == "pending"
    with pytest.raises(DecisionRefusedError) as caught:
        desk.decide(decision(), None, 60.0)
    assert caught.value.reason == "expired"
    assert desk.request(asked(), ASKER, 70.0).status == "expired"
    assert events(desk) == ["asked", "expired", "refused"]


def test_a_key_holds_for_one_payload() -> None:
    desk = register()
    again = desk.request(asked(payload={"to": "Bob", "euro": 40}, ttl=600.0), ASKER, 1.0)
    assert (again.digest, again.expires_at) == (DIGEST, 60.0)
    with pytest.raises(PayloadChanged):
        desk.request(asked(payload={"to": "Bob", "euro": 4000}), ASKER, 1.0)
    with pytest.raises(PayloadChanged):
        desk.decide(decision(digest=digest_of("pay", {"to": "Bob", "euro": 4000})), None, 1.0)
    assert events(desk) == ["asked", "refused", "refused"]


def test_who_decides_says_by_whom_and_on_what() -> None:
    desk = register()
    with pytest.raises(DecisionRefusedError, match="by whom"):
        desk.decide(decision(by=" "), None, 1.0)
    with pytest.raises(NoSuchApprovalError):
        desk.decide(decision(key="gone"), None, 1.0)


def test_everything_is_bounded() -> None:
    desk = Register()
    for number in range(MAX_PENDING):
        desk.request(asked(f"{number}"), None, 0.0)
    with pytest.raises(TooManyApprovalsError):
        desk.request(asked("more"), None, 0.0)
    for number in range(MAX_SETTLED + MAX_AUDIT):
        now = 100.0 * (number + 1)
        desk.request(asked(f"later-{number}"), None, now)
    state = desk.state()
    assert (len(state.pending), len(state.settled), len(state.audit)) == (1, MAX_SETTLED, MAX_AUDIT)
    assert all(entry.payload is None for entry in state.settled)


@pytest.mark.parametrize(
    "fields",
    [
        {"key": ""},
        {"action": "x" * 300},
        {"ttl": 0.0},
        {"ttl": float("nan")},
        {"payload": "x" * MAX_PAYLOAD_BYTES},
    ],
)
def test_a_request_that_no_desk_takes_is_not_made(fields: dict[str, Any]) -> None:
    good: dict[str, Any] = {"key": "k", "action": "pay", "payload": 1, "ttl": 1.0}
    with pytest.raises(ValueError, match=r"characters|seconds|bytes"):
        RequestApproval(**(good | fields))


@given(JSON)
def test_the_digest_survives_the_wire_and_does_not_mind_the_order_of_keys(payload: Any) -> None:
    sent = msgspec.json.decode(msgspec.json.encode(payload))
    assert digest_of("a", sent) == digest_of("a", payload)
    if isinstance(payload, dict):
        turned = dict(reversed(list(cast("dict[str, Any]", payload).items())))
        assert digest_of("a", turned) == digest_of("a", payload)


@given(st.text(max_size=3), st.text(max_size=3), st.text(max_size=3), st.text(max_size=3))
def test_another_action_or_payload_has_another_digest(a: str, b: str, c: str, d: str) -> None:
    assert (digest_of(a, b) == digest_of(c, d)) == ((a, b) == (c, d))


class Lives(RuleBasedStateMachine):
    """Random requests and decisions, with the register stored and restored at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.desk = Register(frozenset({DECIDER}))
        self.final: dict[str, Any] = {}

    @rule(key=st.sampled_from("abc"), euro=st.integers(1, 2), ttl=st.sampled_from([5.0, 50.0]))
    def request(self, key: str, euro: int, ttl: float) -> None:
        try:
            self.desk.request(asked(key, euro, ttl), ASKER, self.now)
        except PayloadChanged:
            assert self.desk.look(key, self.now).digest != digest_of("pay", euro)

    @rule(
        key=st.sampled_from("abcd"),
        euro=st.integers(1, 2),
        approve=st.booleans(),
        sender=st.sampled_from([None, DECIDER, ASKER, OTHER]),
    )
    def decide(self, key: str, euro: int, approve: bool, sender: str | None) -> None:
        digest = digest_of("pay", euro)
        try:
            verdict = self.desk.decide(decision(approve, key=key, digest=digest), sender, self.now)
        except ApprovalError:
            return
        assert sender in (None, DECIDER)
        assert (verdict.digest, verdict.status) == (digest, "approved" if approve else "denied")

    @rule(seconds=st.sampled_from([1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def restart(self) -> None:
        stored = msgspec.json.encode(self.desk.state())
        self.desk = Register(frozenset({DECIDER}), msgspec.json.decode(stored, type=State))

    @invariant()
    def a_verdict_never_changes(self) -> None:
        for key in "abc":
            try:
                verdict = self.desk.look(key, self.now)
            except NoSuchApprovalError:
                assert key not in self.final
                continue
            if verdict.status != "pending":
                assert self.final.setdefault(key, verdict) == verdict

    @invariant()
    def each_request_is_settled_once(self) -> None:
        settled = [
            entry.key
            for entry in self.desk.audit_after(0)
            if entry.event in ("approved", "denied", "expired")
        ]
        assert len(settled) == len(set(settled))


TestLives = Lives.TestCase
