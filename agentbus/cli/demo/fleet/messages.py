"""What the demo's coordinator and its workers say to each other across processes."""

from __future__ import annotations

from msgspec import Struct

from agentbus.agents.message import Message, Request
from agentbus.cli.demo.endpoint import Endpoint
from agentbus.cli.demo.rank import FileSummary
from agentbus.cli.demo.sources import Limits, Source


class Job(Struct, frozen=True):
    """What is the same for every file of one run.

    Attributes:
        root: the folder, as an absolute path.
        limits: what is taken from it at most.
        endpoint: the language model that writes the prose, if one is asked.
        watcher: address of the agent that is told what the model writes; empty for nobody.
    """

    root: str
    limits: Limits
    endpoint: Endpoint | None = None
    watcher: str = ""


class Digested(Message):
    """A worker's answer.

    Attributes:
        summary: what the file comes down to, or None.
        note: why there is no summary, or what is missing from it.
        process_id: of the worker.
    """

    summary: FileSummary | None
    note: str | None
    process_id: int


class Writing(Message):
    """A worker's model is writing about a file; the end of what it wrote so far."""

    path: str
    text: str


class DigestFile(Request[Digested]):
    """Read one file, rank it, and summarise it. `id` names the file, and stands nowhere else."""

    id: str
    job: Job
    source: Source
