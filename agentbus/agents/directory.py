"""What nodes tell each other about themselves, and how long lists of it are cut into frames.

Most of it goes to the namespace's directory channel, where every node listens; answers go straight to the one
who asked.

    hello      I am this node, in this life, and host these agents; as a claim: does anybody object?
    page       what I know of the nodes, for a joiner
    delta      an agent came or went
    bye        I leave
    taken      no: that node id is mine, and I live
    fenced     I have declared that life of yours dead; take a new one
    who        introduce yourself
    exit       I am the parent of that process and saw it end
    beat       I live (only where the credential shows no presence)
    interest   tell me how busy your agents are, for a while
    statuses   so busy are those of my agents about which that has changed
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from agentbus.agents.envelope import Packet, Stamp
from agentbus.errors import UndecodableMessageError

MAX_AGENT_BYTES = 2000

SEAT_MARK = "\x00"
"""Begins the name of an entry that is no agent: a node's seat in what is decided by who sits there."""

MetadataValue = str | int | float | bool


class AgentEntry(msgspec.Struct, frozen=True, array_like=True):
    """An agent, as others see it.

    Attributes:
        name: on its node.
        capabilities: what it can be found by.
        public: peers without a node's token may ask and tell it.
        metadata: facts by which it can be found, too.
    """

    name: str
    capabilities: tuple[str, ...] = ()
    public: bool = False
    metadata: dict[str, MetadataValue] = {}

    @property
    def is_seat(self) -> bool:
        """Whether this is no agent but a seat."""
        return self.name.startswith(SEAT_MARK)


class NodeEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node and a part of its agents.

    Attributes:
        stamp: its id and life.
        version: counts the changes of its list of agents.
        total: how many agents the whole list has; the parts of one version add up to it.
        agents: this part.
        peer: where to reach it; None in its own hello, where the hub's stamp says it.
    """

    stamp: Stamp
    version: int = 0
    total: int = 0
    agents: tuple[AgentEntry, ...] = ()
    peer: str | None = None


class _Directory(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="agentbus"):
    ns: str


class Hello(_Directory, frozen=True, tag="hello/1"):
    """Introduce a node.

    Attributes:
        entry: itself and the first part of its agents; the rest follows as pages.
        claim: it is about to take this id and waits for objections.
        want: it wants the directory; counts its attempts from 0. None: it wants nothing.
    """

    entry: NodeEntry
    claim: bool = False
    want: int | None = None


class Page(_Directory, frozen=True, tag="page/1"):
    """A part of the directory.

    Attributes:
        entries: parts of nodes.
        last: the answer is complete with this page.
    """

    entries: tuple[NodeEntry, ...]
    last: bool = False


class Delta(_Directory, frozen=True, tag="delta/1"):
    """A change of one node's agents: from `version` - 1 to `version`."""

    stamp: Stamp
    version: int
    added: tuple[AgentEntry, ...] = ()
    removed: tuple[str, ...] = ()


class Bye(_Directory, frozen=True, tag="bye/1"):
    """The node closes in good order: it is dead at once."""

    stamp: Stamp


class Taken(_Directory, frozen=True, tag="taken/1"):
    """The claim of this stamp is refused: the node id has a living holder."""

    stamp: Stamp


class Fenced(_Directory, frozen=True, tag="fenced/1"):
    """This life was declared dead; whatever it still says is not heard."""

    stamp: Stamp


class Who(_Directory, frozen=True, tag="who/1"):
    """Introduce yourself to the sender."""


class Exit(_Directory, frozen=True, tag="exit/1"):
    """A death certificate: the sender is the parent of that process and saw it end."""

    stamp: Stamp


class Beat(_Directory, frozen=True, tag="beat/1"):
    """The node lives, and this is the version of its list."""

    stamp: Stamp
    version: int = 0


class Interest(_Directory, frozen=True, tag="interest/1"):
    """Somebody on the sending node wants to know how busy agents are.

    Attributes:
        afresh: the sender has no statuses yet, or none that it would rely on.
    """

    afresh: bool = False


class AgentCondition(msgspec.Struct, frozen=True, array_like=True):
    """How an agent is doing.

    Attributes:
        name: on its node.
        status: an `AgentStatus`, or a later version's word.
        queued: messages that wait for it.
    """

    name: str
    status: str
    queued: int = 0


class Statuses(_Directory, frozen=True, tag="statuses/1"):
    """How some of a node's agents are doing."""

    stamp: Stamp
    conditions: tuple[AgentCondition, ...] = ()


DirectoryMessage = Hello | Page | Delta | Bye | Taken | Fenced | Who | Exit | Beat | Interest | Statuses
_decoder: msgspec.json.Decoder[Packet | DirectoryMessage] = msgspec.json.Decoder(Packet | DirectoryMessage)


def decode_bus_data(data: msgspec.Raw | bytes) -> Packet | DirectoryMessage:
    """Read a frame's `data`.

    Raises:
        UndecodableMessageError: it is none of ours, or of a later version.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UndecodableMessageError(f"not a frame between nodes: {error}") from None


def check_entry(entry: AgentEntry) -> None:
    """Refuse an agent whose entry could make a page too large.

    Raises:
        ValueError: name, capabilities and metadata take more than 2000 bytes, or the name is reserved.
        TypeError: the metadata is no dict of text to text, numbers and booleans.
    """
    try:
        msgspec.convert(entry.metadata, dict[str, MetadataValue], strict=True)
    except msgspec.ValidationError as error:
        raise TypeError(f"an agent's metadata is a dict of str to str, int, float or bool: {error}") from None
    if entry.is_seat:
        raise ValueError("no agent's name begins with a NUL character")
    size = len(msgspec.json.encode(entry))
    if size > MAX_AGENT_BYTES:
        raise ValueError(
            f"the agent's name, capabilities and metadata take {size} bytes; {MAX_AGENT_BYTES} are allowed"
        )


def split_entry(entry: NodeEntry, room: int) -> Iterator[NodeEntry]:
    """Cut a node's list of agents into entries of at most `room` bytes of JSON each, at least one.

    Args:
        entry: the whole list.
        room: bytes; above the size of one agent's entry plus the node's own fields.
    """
    bare = msgspec.structs.replace(entry, agents=(), total=len(entry.agents))
    used = base = len(msgspec.json.encode(bare)) + 16
    part: list[AgentEntry] = []
    for agent in entry.agents:
        size = len(msgspec.json.encode(agent)) + 1
        if part and used + size > room:
            yield msgspec.structs.replace(bare, agents=tuple(part))
            part, used = [], base
        part.append(agent)
        used += size
    yield msgspec.structs.replace(bare, agents=tuple(part))


def make_pages(namespace: str, entries: Iterable[NodeEntry], room: int) -> list[Page]:
    """Lay entries out on pages of at most `room` bytes of JSON each; the last of them says so."""
    room -= len(msgspec.json.encode(Page(namespace, (), last=True))) + 2
    pages: list[list[NodeEntry]] = [[]]
    used = 0
    for entry in entries:
        for part in split_entry(entry, room):
            size = len(msgspec.json.encode(part)) + 1
            if pages[-1] and used + size > room:
                pages.append([])
                used = 0
            pages[-1].append(part)
            used += size
    return [Page(namespace, tuple(part), last=number == len(pages)) for number, part in enumerate(pages, 1)]


def split_changes(
    added: Iterable[AgentEntry], removed: Iterable[str], room: int
) -> Iterator[tuple[tuple[AgentEntry, ...], tuple[str, ...]]]:
    """Cut changes of a list into pairs (added, removed) of at most `room` bytes of JSON each."""
    arrivals: list[AgentEntry] = []
    departures: list[str] = []
    used = 0
    changes: list[AgentEntry | str] = [*removed, *added]
    for change in changes:
        size = len(msgspec.json.encode(change)) + 1
        if used and used + size > room:
            yield tuple(arrivals), tuple(departures)
            arrivals, departures, used = [], [], 0
        if isinstance(change, str):
            departures.append(change)
        else:
            arrivals.append(change)
        used += size
    if used:
        yield tuple(arrivals), tuple(departures)
