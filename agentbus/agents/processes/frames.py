"""What parent and child tell each other: JSON, with its length in four bytes before it. Pure.

A socket pair loses nothing and keeps the order, so there is neither numbering nor resending; the numbers are
those of messages. Nobody but our own child holds the other end.
"""

from __future__ import annotations

import struct

import msgspec

from agentbus.agents.envelope import NOTHING
from agentbus.agents.failures import Failure
from agentbus.agents.processes.main_module import MainModule
from agentbus.agents.queues.core.job import Effect as JobEffect
from agentbus.agents.queues.core.job import LeasedJob
from agentbus.agents.queues.messages import Settlement
from agentbus.errors import BodyTooLargeError

HEAD = struct.Struct("!I")
MAX_FRAME_BYTES = 16 * 1024 * 1024
"""A frame that is longer than this is a mistake."""

MAX_ENVELOPE_BYTES = MAX_FRAME_BYTES - 1024
"""Of a message or a reply; the frame around it needs the rest."""


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """To the child, first: what to host.

    Attributes:
        target: `module:Class`.
        spec: pickle of the class's `(args, kwargs, store)`.
        name: of the agent.
        address: of the agent, as everyone sees it.
        namespace: of the bus.
        node: id of the child's own node, should it join the bus.
        trust: whom that node believes.
        main: how to import the parent's program, where the class lives there.
        takes_jobs: whether messages may be jobs of a queue.
    """

    target: str
    spec: bytes
    name: str
    address: str
    namespace: str
    node: str
    trust: str
    main: MainModule | None = None
    takes_jobs: bool = False


class Handle(msgspec.Struct, frozen=True, tag="handle", omit_defaults=True):
    """To the child: a message.

    Attributes:
        number: of the message.
        asked: whether somebody waits for a reply.
        left: seconds until its deadline; None without one.
        envelope: the message.
        credit: chunks of a reply that may come at first; 0 where one reply is wanted.
        attached: whether chunks follow the message.
        job: what is known of it as a job of a queue; None for most.
        queue: name of that queue.
    """

    number: int
    asked: bool
    left: float | None
    envelope: msgspec.Raw
    credit: int = 0
    attached: bool = False
    job: LeasedJob | None = None
    queue: str = ""


class Steer(msgspec.Struct, frozen=True, tag="steer"):
    """To the child: a message for `on_control`, past the mailbox; answered like a message.

    Attributes:
        number: of it; messages and these are counted together.
        envelope: the message.
    """

    number: int
    envelope: msgspec.Raw


class Flow(msgspec.Struct, frozen=True, tag="flow"):
    """To either: what goes beside a message.

    Attributes:
        number: of the message.
        envelope: to the parent CHUNK of the reply, and CREDIT for what is attached; to the child CHUNK and
            END of what is attached, and CREDIT for the reply.
    """

    number: int
    envelope: msgspec.Raw


class Cancel(msgspec.Struct, frozen=True, tag="cancel"):
    """To the child: nobody wants that message handled, or that advice taken, any more."""

    number: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """To the child: end, after the hook `on_stop`."""


class Invited(msgspec.Struct, frozen=True, tag="invited"):
    """To the child: how to reach the hub, or why that can't be.

    Attributes:
        url: of the hub.
        kind: "key" or "token".
        secret: the credential; it goes through this socket and nowhere else.
        problem: why there is no invitation.
    """

    url: str = ""
    kind: str = ""
    secret: str = ""
    problem: str = ""

    def __repr__(self) -> str:
        return f"<Invited to {self.url!r}>"


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """To the parent: the agent has started."""


class Answered(msgspec.Struct, frozen=True, tag="answered", omit_defaults=True):
    """To the parent: what became of a message.

    Attributes:
        number: of the message.
        outcome: an `Outcome`; of advice: *delivered* once it is taken, *expired* if the agent ended before.
        envelope: the reply or error, if it was asked; else `NOTHING`.
        failed: whether that is the failure that `Failed` told of.
    """

    number: int
    outcome: str
    envelope: msgspec.Raw = NOTHING
    failed: bool = False


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """To the parent: the agent has failed, and the process is about to end.

    Attributes:
        error_type: qualified name of what was raised.
        error_message: its text.
        traceback: where, as text.
    """

    error_type: str
    error_message: str
    traceback: str = ""


class Marked(msgspec.Struct, frozen=True, tag="marked"):
    """To the parent: the handling of a message goes on."""

    number: int


class Progress(msgspec.Struct, frozen=True, tag="progress"):
    """To the parent: see `AgentProgress`."""

    note: str
    done: float | None


class Invite(msgspec.Struct, frozen=True, tag="invite"):
    """To the parent: the agent needs the bus; answered by `Invited`."""


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """To the parent: the agent has stopped by itself, and the process is about to end."""


class JobOver(msgspec.Struct, frozen=True, tag="job-over"):
    """To the parent: the handler of a job has ended, even if nobody wants it handled any more.

    Attributes:
        number: of the message.
        settlement: what has come of it; None if it gave in to its cancelling.
    """

    number: int
    settlement: Settlement | None


class JobProgress(msgspec.Struct, frozen=True, tag="job-progress"):
    """To the parent: the handling of a job goes on.

    Attributes:
        number: of the message.
        done: see `AgentProgress`.
        note: see there.
    """

    number: int
    done: float | None
    note: str


class KeepEffect(msgspec.Struct, frozen=True, tag="keep-effect"):
    """To the parent: an effect of a job is to be recorded.

    Attributes:
        number: of the message.
        serial: of this request.
        effect: what is recorded.
    """

    number: int
    serial: int
    effect: JobEffect


class EffectKept(msgspec.Struct, frozen=True, tag="effect-kept"):
    """To the child: it is durable. Attributes: the request's number; why it is not."""

    serial: int
    failure: Failure | None


ToChild = Begin | Handle | Steer | Flow | Cancel | Stop | Invited | EffectKept
ToParent = (
    Ready | Answered | Flow | Failed | Marked | Progress | Invite | Ended | JobOver | JobProgress | KeepEffect
)

_encoder = msgspec.json.Encoder()


def encode_frame(frame: ToChild | ToParent) -> bytes:
    """Give the bytes of a frame."""
    data = _encoder.encode(frame)
    return HEAD.pack(len(data)) + data


def fitting(envelope: bytes) -> msgspec.Raw:
    """Give an envelope for a frame.

    Raises:
        BodyTooLargeError: no frame takes it.
    """
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise BodyTooLargeError(len(envelope), MAX_ENVELOPE_BYTES)
    return msgspec.Raw(envelope)


def body_length(head: bytes) -> int:
    """Read how many bytes follow a head.

    Raises:
        ValueError: more than any frame has.
    """
    length: int = HEAD.unpack(head)[0]
    if length > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {length} bytes is over {MAX_FRAME_BYTES}")
    return length


_to_child: msgspec.json.Decoder[ToChild] = msgspec.json.Decoder(ToChild)
_to_parent: msgspec.json.Decoder[ToParent] = msgspec.json.Decoder(ToParent)


def decode_for_child(data: bytes) -> ToChild:
    """Read a frame that the parent sent."""
    return _to_child.decode(data)


def decode_for_parent(data: bytes) -> ToParent:
    """Read a frame that the child sent."""
    return _to_parent.decode(data)
