"""The desk: where agents ask for approval, and people give it."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar

import msgspec

from agentbus.agents.agent import AsyncAgentActor, ChildLost
from agentbus.agents.approvals.book import ApprovalBook, Overdue, Page, Turn
from agentbus.agents.approvals.messages import (
    AwaitVerdict,
    Decide,
    ListPending,
    PendingApproval,
    RequestApproval,
    Ticket,
    Verdict,
)
from agentbus.agents.approvals.register import AuditEntry
from agentbus.agents.handlers import handles
from agentbus.agents.lives.store import Store
from agentbus.agents.message import Request
from agentbus.agents.ref import AgentRef
from agentbus.errors import AgentFailed, AgentRestarted, AgentStopped, ApprovalError, TooManyApprovalsError
from agentbus.runtime import RestartMode, RestartPolicy

Reply = TypeVar("Reply")

MAX_WAITING = 1000
SPARE_HANDS = 50
"""Messages that are served beside those that wait for a verdict."""

ANSWERS = (ApprovalError, AgentFailed, AgentRestarted, AgentStopped)
"""What askers get as it is: a book that fails is restarted, and its desk does not fall with it."""

audit_log = logging.getLogger("agentbus.audit")


class ApprovalDesk(AsyncAgentActor):
    """Keeps requests until somebody decides on them, over restarts of everybody.

        desk = bus.spawn(ApprovalDesk, SqliteStore("desk.db"), name="desk")

        verdict = await approved(desk, action="pay", payload={"euro": 40}, key="order-17/pay", ttl=3600)

        for request in desk.ask(ListPending()).get():
            desk.ask(Decide(key=request.key, approve=True, by="Ada", digest=request.digest)).get()

    Programs decide; of the agents, only those that are named as deciders, and never one that has asked. The
    model of an agent has no say. A decision holds for one digest, so for one payload; it is made once, and a
    request that nobody decides on in time has expired, also while the desk was down. Every event is one line
    of JSON in the log `agentbus.audit`, without the payload, after it is durable; after a crash some lines
    may come again, under their number.

    Args:
        store: keeps the requests; the desk is found again in it by its name.
        deciders: agents that may decide.
    """

    capabilities = ("agentbus.approvals",)
    concurrency: ClassVar[int] = MAX_WAITING + SPARE_HANDS
    _book: AgentRef

    def __init__(self, store: Store, deciders: Iterable[AgentRef | str] = ()) -> None:
        self._store = store
        self._deciders = tuple(deciders)
        self._waiting: dict[str, list[asyncio.Future[Verdict]]] = {}
        self._logged = 0
        self._turns = asyncio.Lock()

    async def on_start(self) -> None:
        """Open the book, and log what a crash has kept out of the log."""
        deciders = frozenset(
            str(self.bus.ref(each)) if isinstance(each, str) else str(each) for each in self._deciders
        )
        self._book = self.spawn(
            ApprovalBook,
            str(self.ref),
            deciders,
            name=f"{self.name}.book",
            store=self._store,
            supervision=RestartPolicy(mode=RestartMode.RESTART),
        )
        await self._turn(None)

    def on_child_lost(self, lost: ChildLost) -> None:
        """Fail without the book."""
        raise lost.error

    # -- askers ----------------------------------------------------------------------------------------------

    @handles(raises=ANSWERS)
    async def request(self, request: RequestApproval) -> Ticket:
        """Take a request; it is durable when the answer leaves."""
        return await self._put(request)

    @handles(raises=ANSWERS)
    async def wait(self, question: AwaitVerdict) -> Verdict:
        """Wait for what becomes of a request."""
        if sum(map(len, self._waiting.values())) >= MAX_WAITING:
            raise TooManyApprovalsError(question.key, MAX_WAITING)
        waiting = self._waiting.setdefault(question.key, [])
        settled: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        waiting.append(settled)
        try:
            verdict = await self._put(question)
            return verdict if verdict.status != "pending" else await settled
        finally:
            waiting.remove(settled)
            if not waiting:
                self._waiting.pop(question.key, None)

    # -- people ----------------------------------------------------------------------------------------------

    @handles(raises=ANSWERS)
    async def list_pending(self, question: ListPending) -> list[PendingApproval]:
        """Show what waits for a decision."""
        return await self._put(question)

    @handles(raises=ANSWERS)
    async def decide(self, decision: Decide) -> Verdict:
        """Take a decision; it is durable when the answer leaves."""
        return await self._put(decision)

    @handles
    async def overdue(self, _news: Overdue) -> None:
        """Hear what has expired."""
        await self._turn(None)

    # -- the book --------------------------------------------------------------------------------------------

    async def _put(self, message: Request[Reply]) -> Reply:
        """Put a message to the book; who gives up meanwhile keeps the news from nobody."""
        sender = None if self.sender is None else str(self.sender)
        answer: Reply = await self.shield(self._turn(message, sender))
        return answer

    async def _turn(self, message: Any, sender: str | None = None) -> Any:
        """Have the book answer, log and pass on what is new; one turn after the other."""
        async with self._turns:
            page = await self._book.ask(Turn(message, sender, self._logged))
            self._take(page)
        if page.error is not None:
            raise page.error
        return page.answer

    def _take(self, page: Page) -> None:
        for entry in page.news:
            audit_log.info("%s %s", entry.event, _as_json(entry))
            self._logged = entry.number
        for verdict in page.settled:
            for waiting in self._waiting.get(verdict.key, ()):
                if not waiting.done():
                    waiting.set_result(verdict)


def _as_json(entry: AuditEntry) -> str:
    """Write an entry as one line of ASCII, whatever is in it."""
    moment = datetime.fromtimestamp(entry.at, UTC).isoformat()
    return json.dumps({**msgspec.structs.asdict(entry), "at": moment})
