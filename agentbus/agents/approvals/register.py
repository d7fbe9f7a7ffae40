"""The requests of a desk and the rules of deciding on them. Pure: time and who speaks come in as arguments.

    request ──► pending ──decide──► approved, denied     once: a later decision is refused
                   └────── its time is over ──► expired  also if nobody was there to see it

Who decides: programs, and agents that the desk names as deciders; never an agent that asked.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal, NoReturn

import msgspec

from agentbus.agents.approvals.messages import (
    Decide,
    PendingApproval,
    RequestApproval,
    Status,
    Ticket,
    Verdict,
    digest_of,
)
from agentbus.errors import (
    ApprovalError,
    DecisionRefusedError,
    NoSuchApprovalError,
    PayloadChanged,
    TooManyApprovalsError,
)

MAX_PENDING = 256
MAX_SETTLED = 500
"""Verdicts that are remembered; asked for again after that, a request is a new one."""

MAX_AUDIT = 500

Settled = Literal["approved", "denied", "expired"]
Event = Literal["asked", "approved", "denied", "expired", "refused"]
_SETTLED = ("approved", "denied", "expired")


class AuditEntry(msgspec.Struct, frozen=True):
    """One thing that happened; without the payload.

    Attributes:
        number: counts from 1, without gaps.
        at: when, in seconds since 1970.
        event: what.
        key: of the request.
        action: of the request; empty if there is none.
        digest: of the request, or of what was refused.
        by: who decided, as was said.
        sender: the agent that asked or decided; None for a program outside any agent, or for nobody.
        why: an error's class name, if it was refused.
    """

    number: int
    at: float
    event: Event
    key: str
    action: str
    digest: str
    by: str = ""
    sender: str | None = None
    why: str = ""


class Entry(msgspec.Struct):
    """A request, and what has become of it; see `Verdict` and `PendingApproval`."""

    key: str
    action: str
    digest: str
    payload: Any
    askers: list[str | None]
    asked_at: float
    expires_at: float
    status: Status = "pending"
    by: str = ""
    at: float | None = None

    def ticket(self) -> Ticket:
        """Give what the asker gets at once."""
        return Ticket(self.key, self.digest, self.expires_at, self.status)

    def verdict(self) -> Verdict:
        """Give what the asker waits for."""
        return Verdict(self.key, self.action, self.digest, self.status, self.by, self.at)

    def shown(self) -> PendingApproval:
        """Give what people see who decide."""
        return PendingApproval(
            self.key,
            self.action,
            self.payload,
            self.digest,
            self.askers[0],
            self.asked_at,
            self.expires_at,
        )


class State(msgspec.Struct):
    """What is stored of a register.

    Attributes:
        pending: the requests that wait, oldest first.
        settled: those that do not, oldest verdict first.
        audit: the latest entries.
        number: of the last of them.
        logged: up to which number they are known to be in the log.
    """

    pending: list[Entry] = []
    settled: list[Entry] = []
    audit: list[AuditEntry] = []
    number: int = 0
    logged: int = 0


class Register:
    """The requests of one desk.

    Args:
        deciders: addresses of the agents that may decide.
        state: to go on from.

    Attributes:
        logged: see `State`.
    """

    def __init__(self, deciders: frozenset[str] = frozenset(), state: State | None = None) -> None:
        state = state or State()
        self._deciders = deciders
        self._pending = {entry.key: entry for entry in state.pending}
        self._settled = {entry.key: entry for entry in state.settled}
        self._audit = deque(state.audit, maxlen=MAX_AUDIT)
        self._number = state.number
        self.logged = state.logged

    def state(self) -> State:
        """Give what to go on from later."""
        return State(
            list(self._pending.values()),
            list(self._settled.values()),
            list(self._audit),
            self._number,
            self.logged,
        )

    # -- asking ----------------------------------------------------------------------------------------------

    def request(self, asked: RequestApproval, sender: str | None, now: float) -> Ticket:
        """Take a request, or find the one that it repeats.

        Raises:
            PayloadChanged: another one has its key.
            TooManyApprovalsError: no more may wait.
        """
        self.expire(now)
        digest = digest_of(asked.action, asked.payload)
        entry = self._find(asked.key)
        if entry is None:
            return self._add(asked, digest, sender, now).ticket()
        if entry.digest != digest:
            self._refuse(entry, PayloadChanged(asked.key), now, sender, digest=digest)
        if sender in self._deciders and sender not in entry.askers:
            entry.askers.append(sender)  # it has made the request its own: it must not decide on it
        return entry.ticket()

    def _add(self, asked: RequestApproval, digest: str, sender: str | None, now: float) -> Entry:
        if len(self._pending) >= MAX_PENDING:
            raise TooManyApprovalsError(asked.key, MAX_PENDING)
        entry = Entry(asked.key, asked.action, digest, asked.payload, [sender], now, now + asked.ttl)
        self._pending[entry.key] = entry
        self._note("asked", entry, now, sender=sender)
        return entry

    def look(self, key: str, now: float) -> Verdict:
        """Give what has become of a request.

        Raises:
            NoSuchApprovalError: there is none.
        """
        self.expire(now)
        entry = self._find(key)
        if entry is None:
            raise NoSuchApprovalError(key)
        return entry.verdict()

    def pending(self, now: float) -> list[PendingApproval]:
        """List what waits for a decision, oldest first."""
        self.expire(now)
        return [entry.shown() for entry in self._pending.values()]

    # -- deciding --------------------------------------------------------------------------------------------

    def decide(self, decision: Decide, sender: str | None, now: float) -> Verdict:
        """Settle a request.

        Raises:
            NoSuchApprovalError: there is none.
            DecisionRefusedError: the sender may not, does not say by whom, or comes too late.
            PayloadChanged: the decision is on something else.
        """
        self.expire(now)
        entry = self._find(decision.key)
        if entry is None:
            entry = Entry(decision.key, "", decision.digest, None, [], now, now)
            self._refuse(entry, NoSuchApprovalError(decision.key), now, sender, by=decision.by)
        status: Settled = "approved" if decision.approve else "denied"
        error = self._objection(entry, decision, sender, status)
        if error is not None:
            self._refuse(entry, error, now, sender, by=decision.by, digest=decision.digest)
        if entry.status == "pending":
            self._settle(entry, status, now, by=decision.by, sender=sender)
        return entry.verdict()

    def _objection(
        self, entry: Entry, decision: Decide, sender: str | None, status: Settled
    ) -> ApprovalError | None:
        reason = self._reason(entry, decision, sender, status)
        if reason:
            return DecisionRefusedError(entry.key, reason)
        return PayloadChanged(entry.key) if decision.digest != entry.digest else None

    def _reason(self, entry: Entry, decision: Decide, sender: str | None, status: Settled) -> str:
        if sender is not None and sender in entry.askers:
            return "asker"
        if sender is not None and sender not in self._deciders:
            return "agent"
        if not decision.by.strip():
            return "nameless"
        if entry.status in ("pending", status) and entry.by in ("", decision.by):
            return ""  # the first decision, or the very same again
        return "expired" if entry.status == "expired" else "decided"

    # -- time ------------------------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Settle what nobody has decided in time."""
        for entry in [each for each in self._pending.values() if each.expires_at <= now]:
            self._settle(entry, "expired", now)

    @property
    def next_expiry(self) -> float | None:
        """When there is something to expire, in seconds since 1970; None if nothing waits."""
        return min((entry.expires_at for entry in self._pending.values()), default=None)

    # -- the record ------------------------------------------------------------------------------------------

    def audit_after(self, number: int) -> list[AuditEntry]:
        """Give what happened after an entry, as far as it is kept."""
        return [entry for entry in self._audit if entry.number > number]

    def verdicts(self, news: list[AuditEntry]) -> list[Verdict]:
        """Give the verdicts that audit entries tell of, as far as they are remembered."""
        told = [self._settled.get(entry.key) for entry in news if entry.event in _SETTLED]
        return [entry.verdict() for entry in told if entry is not None]

    def _find(self, key: str) -> Entry | None:
        return self._pending.get(key) or self._settled.get(key)

    def _settle(
        self,
        entry: Entry,
        status: Settled,
        now: float,
        *,
        by: str = "",
        sender: str | None = None,
    ) -> None:
        del self._pending[entry.key]
        entry.status, entry.by, entry.at, entry.payload = status, by, now, None
        self._settled[entry.key] = entry
        if len(self._settled) > MAX_SETTLED:
            del self._settled[next(iter(self._settled))]
        self._note(status, entry, now, by=by, sender=sender)

    def _refuse(
        self,
        entry: Entry,
        error: ApprovalError,
        now: float,
        sender: str | None,
        *,
        by: str = "",
        digest: str | None = None,
    ) -> NoReturn:
        self._note("refused", entry, now, by=by, sender=sender, digest=digest, why=type(error).__name__)
        raise error

    def _note(
        self,
        event: Event,
        entry: Entry,
        now: float,
        *,
        by: str = "",
        sender: str | None = None,
        digest: str | None = None,
        why: str = "",
    ) -> None:
        self._number += 1
        digest = entry.digest if digest is None else digest
        noted = AuditEntry(self._number, now, event, entry.key, entry.action, digest, by, sender, why)
        self._audit.append(noted)
