"""`Turn`: what a host does at the end of a turn: write, and tell others once that is durable."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from agentbus.agents.queues.core.job import JobEnd, JobStatus, LeasedJob, Value
from agentbus.agents.queues.stores.store import Batch

UNREAD = msgspec.Raw(b"null")


class Granted(msgspec.Struct, frozen=True):
    """A job that was leased.

    Attributes:
        leased: as its worker is told, without the bodies that must be read.
        number: of the record whose body is its message; 0 if `leased` has it.
        inputs: numbers of the records whose bodies are its inputs; empty if it has none.
    """

    leased: LeasedJob
    number: int = 0
    inputs: tuple[int, ...] = ()

    @property
    def unread(self) -> tuple[int, ...]:
        """Numbers of the bodies that it lacks."""
        return (self.number, *self.inputs) if self.number else self.inputs

    def filled(self, bodies: Mapping[int, bytes]) -> LeasedJob:
        """Give what the worker is told, with bodies as the store has given them."""
        leased = self.leased
        if self.number:
            leased = msgspec.structs.replace(leased, body=_body(bodies, self.number))
        if self.inputs:
            values = zip(leased.inputs, self.inputs, strict=True)
            inputs = tuple(Value(value.type, value.version, _body(bodies, each)) for value, each in values)
            leased = msgspec.structs.replace(leased, inputs=inputs)
        return leased


class Ended(msgspec.Struct, frozen=True):
    """How a job has ended. Attributes: the end; the number of the body of its value, 0 if it is there."""

    end: JobEnd
    number: int = 0

    def filled(self, bodies: Mapping[int, bytes]) -> JobEnd:
        """Give the end, with its value as the store has given it."""
        if not self.number or self.end.value is None:
            return self.end
        value = msgspec.structs.replace(self.end.value, body=_body(bodies, self.number))
        return msgspec.structs.replace(self.end, value=value)


class Stored(msgspec.Struct, frozen=True):
    """A body.

    Attributes:
        value: its type and version, and itself if it is at hand.
        number: of the record whose body it is; 0 if it is at hand.
    """

    value: Value
    number: int = 0

    def filled(self, bodies: Mapping[int, bytes]) -> Value:
        """Give it as the store has given it."""
        if not self.number:
            return self.value
        return msgspec.structs.replace(self.value, body=_body(bodies, self.number))


class Turn(msgspec.Struct):
    """What a turn has brought.

    The host writes the batch. Once that is durable it reads the bodies that `unread` names, sends the grants,
    the revocations, the ends, and the answers to the commands of the turn; and it reads what `gather` asks
    for, and gives that back. It takes the next turn only then: what comes meanwhile is one batch. If the
    write fails, nothing is sent, and the batch is written again, alone or with the next (`Batch.merge`).

    Attributes:
        batch: what is to be written.
        grants: jobs for workers, by address and session.
        revoked: tokens that are not valid any more, by the same.
        cancelled: those among them whose jobs somebody has cancelled.
        ended: jobs that are over.
        changed: jobs in which anything changed, if somebody watches.
        gather: numbers of the steps whose bodies are a flow's value, in their order, by the flow's number.
    """

    batch: Batch
    grants: dict[tuple[str, str], list[Granted]]
    revoked: dict[tuple[str, str], list[str]]
    ended: list[JobEnd]
    changed: list[JobStatus]
    gather: dict[int, tuple[int, ...]]
    cancelled: set[str] = msgspec.field(default_factory=set[str])

    @property
    def unread(self) -> list[int]:
        """Numbers of the bodies that the grants lack."""
        return [number for grants in self.grants.values() for each in grants for number in each.unread]


def _body(bodies: Mapping[int, bytes], number: int) -> msgspec.Raw:
    found = bodies.get(number)
    return UNREAD if found is None else msgspec.Raw(found)
