"""`Job`: a job as the core keeps it, and as its head is stored: a JSON array, a format number first.

Times are seconds of the queue's clock (`QueueClock`). What few jobs have is in `Details`, so that a million
that wait take little memory.
"""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from agentbus.agents.budgets.wire import Grant
from agentbus.agents.failures import Failure
from agentbus.agents.queues.core.job import Effect, FlowKind

State = Literal["queued", "leased", "waiting", "done", "failed", "rejected", "cancelled"]
"""As `JobState`, but a delayed job is queued and due later. What waits is a flow whose steps are under way,
or a step whose turn has not come."""

STATES: tuple[State, ...] = get_args(State)
LIVE: frozenset[State] = frozenset({"queued", "leased", "waiting"})
DEAD: frozenset[State] = frozenset({"failed", "rejected"})

MAX_TRACEBACK = 8000
"""Characters of a traceback that are kept: its end says most."""


class Lease(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Whose a job is. Attributes: the fencing token; the worker's address; the session of it."""

    token: str
    worker: str
    session: str


class Details(msgspec.Struct, array_like=True, gc=False):
    """What few jobs have.

    Attributes:
        soft_timeout: see `NewJob`.
        hard_timeout: see `NewJob`.
        budget: what is left of it.
        granted: of a step that has begun: what its flow has given to it.
        limit: of a step: its budget as it was put.
        failure: of the last attempt that failed.
        traceback: of that failure.
        effects: that were recorded.
        result_type: wire name of what it has given; its JSON is the record's body.
        result_version: of that type.
        settled: the token of the last attempt that was settled; empty if none was.
        outcome: what it was settled with.
        flow: how the steps of a flow hang together.
        window: steps of a map that may be under way.
        inputs: numbers of the jobs whose results it gets.
        begun: of a flow: its turn has come.
    """

    soft_timeout: float | None = None
    hard_timeout: float | None = None
    budget: Grant | None = None
    granted: Grant | None = None
    limit: Grant | None = None
    failure: Failure | None = None
    traceback: str = ""
    effects: tuple[Effect, ...] = ()
    result_type: str = ""
    result_version: int = 1
    settled: str = ""
    outcome: str = ""
    flow: FlowKind = ""
    window: int = 0
    inputs: tuple[int, ...] = ()
    begun: bool = False


class Job(msgspec.Struct, array_like=True, tag=1, tag_field="format", gc=False):
    """One job, or one flow.

    Attributes:
        number: of its record; ascends in the order in which jobs are put.
        id: see `NewJob`.
        type: see `NewJob`.
        version: see `NewJob`.
        size: bytes of the record's body.
        priority: see `NewJob`.
        tenant: see `NewJob`.
        put: when it was put.
        due: when it may start; of a step whose turn has not come: seconds after that until it may.
        state: see `State`.
        attempts: that have begun, less those that were handed back.
        max_attempts: None for the queue's.
        key: None for the id.
        unique: see `NewJob`.
        ended: when it was over; 0 while it is not.
        parent: number of the flow that it is a step of; 0 if it is none.
        lease: whose it is, while it is leased.
        details: what few jobs have.
    """

    number: int
    id: str
    type: str
    version: int
    size: int
    priority: int
    tenant: str
    put: float
    due: float
    state: State = "queued"
    attempts: int = 0
    max_attempts: int | None = None
    key: str | None = None
    unique: str | None = None
    ended: float = 0.0
    parent: int = 0
    lease: Lease | None = None
    details: Details | None = None

    @property
    def flow(self) -> FlowKind:
        """How its steps hang together; empty if it is no flow."""
        return "" if self.details is None else self.details.flow

    def more(self) -> Details:
        """Give its details, which it has from now on."""
        if self.details is None:
            self.details = Details()
        return self.details


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Job)

encode_head = _encoder.encode


def decode_head(head: bytes) -> Job:
    """Read a head.

    Raises:
        msgspec.ValidationError: it is none of a format that is known here.
    """
    return _decoder.decode(head)
