"""Which version of a message an agent of another node reads: asked once, before the first of its type leaves.

Only classes that say how they are written for others (`Message.downgrade_to`) are negotiated. Until the
answer is there, everything to that agent waits here, so that nothing overtakes; then it leaves in the version
that the agent reads. A node that knows no such question gets what was sent. On the I/O loop.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from agentbus.agents.address import Address
from agentbus.agents.calls import Ask, Parcel
from agentbus.agents.envelope import NOTHING, Kind
from agentbus.agents.message import Message
from agentbus.agents.outcome import Outcome
from agentbus.agents.versions import can_downgrade, downgrade
from agentbus.errors import (
    BusClosedError,
    EncodeError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
    UndecodableMessageError,
)
from agentbus.runtime import Future

MAX_HELD = 10_000
"""Messages that wait for answers, of all agents together; the next one is refused."""
MAX_KNOWN = 4_096
"""Answers that are remembered; the oldest is forgotten first, and asked for again."""

Subject = tuple[Address, str]
"""An agent, and the wire name of a type of message."""


class OnLoop(Protocol):
    """The I/O loop, as far as it is needed here."""

    def call_soon(self, fn: Callable[..., object], /, *args: Any) -> object:
        """Call `fn(*args)` on the loop."""
        ...


class Negotiation:
    """What the agents of other nodes read.

    Args:
        send: lets a parcel leave; see `Exchange.send`.
        fail: gives a parcel up; see `Exchange.fail`.
        loop: the I/O loop.
    """

    def __init__(
        self,
        send: Callable[[Parcel], object],
        fail: Callable[[Parcel, str, Exception], object],
        loop: OnLoop,
    ) -> None:
        self._send = send
        self._fail = fail
        self._loop = loop
        self._known: OrderedDict[Subject, tuple[int, ...]] = OrderedDict()
        self._held: dict[Address, deque[Parcel]] = {}
        self._count = 0

    @property
    def holds(self) -> bool:
        """Whether anything waits here."""
        return bool(self._held)

    # -- out -------------------------------------------------------------------------------------------------

    def send(self, parcel: Parcel) -> None:
        """Send a parcel in the version that its agent reads, behind what waits for the same agent."""
        held = self._held.get(parcel.address)
        if held is None and not self._must_ask(parcel):
            self._leave(parcel)
        elif self._count >= MAX_HELD:
            self._fail(parcel, "mailbox_full", MailboxFullError(MAX_HELD))
        elif held is not None:
            self._count += 1
            held.append(parcel)
        else:
            self._count += 1
            self._held[parcel.address] = deque([parcel])
            self._ask(parcel.address, parcel.type)

    def _must_ask(self, parcel: Parcel) -> bool:
        return _is_negotiable(parcel) and (parcel.address, parcel.type) not in self._known

    def _leave(self, parcel: Parcel) -> None:
        version = self._version_for(parcel)
        if version == parcel.version:
            self._send(parcel)
            return
        try:
            body = downgrade(parcel.message, version)
        except UndecodableMessageError as error:
            self._fail(parcel, "undecodable", error)
        except (TypeError, ValueError, RecursionError) as error:
            self._fail(parcel, "undecodable", EncodeError(f"version {version} has no JSON form: {error}"))
        else:
            self._send(msgspec.structs.replace(parcel, version=version, body=body))

    def _version_for(self, parcel: Parcel) -> int:
        """Give the highest version that the agent reads, but its own where none is known to be read."""
        if not _is_negotiable(parcel):
            return parcel.version
        known = self._known.get((parcel.address, parcel.type), ())
        return max((each for each in known if 1 <= each <= parcel.version), default=parcel.version)

    # -- the question ----------------------------------------------------------------------------------------

    def _ask(self, address: Address, name: str) -> None:
        answer: Future[Any] = Future()
        question = Parcel(address, Kind.VERSIONS, NOTHING, name, 1, call=Ask(answer, None))
        answer.add_done_callback(partial(self._loop.call_soon, self._answered, (address, name)))
        self._send(question)

    def _answered(self, subject: Subject, answer: Future[Any]) -> None:
        error = answer.exception()
        if isinstance(error, OutcomeUnknownError) and subject[0] in self._held:
            self._ask(*subject)  # that life of the node is over; there may be another
        elif isinstance(error, NoSuchAgentError):
            self._give_up(subject[0], "no_such_agent", lambda: NoSuchAgentError(str(subject[0])))
        elif isinstance(error, MailboxFullError):  # of the link: what the agent reads is not known by that
            self._give_up(subject[0], "mailbox_full", lambda: MailboxFullError(MAX_HELD))
        else:
            self._remember(subject, () if error is not None else _versions(answer.get()))
            self._release(subject[0])

    def _remember(self, subject: Subject, versions: tuple[int, ...]) -> None:
        while len(self._known) >= MAX_KNOWN:
            self._known.popitem(last=False)
        self._known[subject] = versions

    def _release(self, address: Address) -> None:
        """Let out what waits, up to the next type that has to be asked for."""
        held = self._held.get(address, deque())
        while held:
            if self._must_ask(held[0]):
                self._ask(address, held[0].type)
                return
            self._count -= 1
            self._leave(held.popleft())
        self._held.pop(address, None)

    def _give_up(self, address: Address, reason: str, error: Callable[[], Exception]) -> None:
        for parcel in self._take(address):
            self._fail(parcel, reason, error())

    def _take(self, address: Address) -> deque[Parcel]:
        held = self._held.pop(address, deque())
        self._count -= len(held)
        return held

    # -- time, and the end -----------------------------------------------------------------------------------

    def forget(self, node: str) -> None:
        """Ask the agents of a node again: they are others than before."""
        for subject in [subject for subject in self._known if subject[0].node == node]:
            del self._known[subject]

    def tick(self, now: float) -> None:
        """Expire what waits and is too late."""
        for address, held in self._held.items():
            late = [parcel for parcel in held if _is_late(parcel, now)]
            if late:
                self._count -= len(late)
                self._held[address] = deque(parcel for parcel in held if not _is_late(parcel, now))
            for parcel in late:
                if parcel.call is not None:
                    parcel.call.withdrawn()
                    parcel.call.settle(Outcome.EXPIRED)

    def next_deadline(self) -> float | None:
        """When `tick` has something to do next."""
        held = (parcel for parcels in self._held.values() for parcel in parcels)
        return min(
            (each.headers.deadline for each in held if each.headers.deadline is not None), default=None
        )

    def close(self, error: BusClosedError) -> None:
        """End: whoever still waits is told."""
        for address in list(self._held):
            for parcel in self._take(address):
                self._fail(parcel, "closed", error)


def _is_negotiable(parcel: Parcel) -> bool:
    message: object = parcel.message
    return parcel.version > 1 and isinstance(message, Message) and can_downgrade(type(message))


def _versions(answer: Any) -> tuple[int, ...]:
    """Read an answer; of another node, so it may be anything."""
    try:
        return msgspec.convert(answer, tuple[int, ...])
    except msgspec.ValidationError:
        return ()


def _is_late(parcel: Parcel, now: float) -> bool:
    return parcel.headers.deadline is not None and parcel.headers.deadline <= now
