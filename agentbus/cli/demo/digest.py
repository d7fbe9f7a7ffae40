"""What the demo ends with: frozen Structs that `--json` prints and `render` lays out for people."""

from __future__ import annotations

from msgspec import Struct

from agentbus.cli.demo.sources import Note


class Quote(Struct, frozen=True):
    """A sentence and where it stands."""

    text: str
    path: str
    line: int


class Theme(Struct, frozen=True):
    """What several sentences of the folder are about.

    Attributes:
        terms: its name: the terms that set it apart, strongest first.
        share: part of all text about themes that this one carries, 0 to 1.
        files: documents that speak of it.
        quotes: the sentences that carry it, best first.
    """

    terms: tuple[str, ...]
    share: float
    files: int
    quotes: tuple[Quote, ...]


class Related(Struct, frozen=True):
    """Two documents that are about the same; `similarity` is the cosine of their TF-IDF vectors, 0 to 1."""

    first: str
    second: str
    similarity: float
    terms: tuple[str, ...]


class Document(Struct, frozen=True):
    """One document in short.

    Attributes:
        path: relative to the folder.
        title: its first heading, or its name.
        key_terms: what sets it apart from the other documents, strongest first.
        summary: its best sentences, in the order in which they stand.
        sentences: how many were ranked.
        prose: what the language model wrote about it, if one was asked.
    """

    path: str
    title: str
    key_terms: tuple[str, ...]
    summary: tuple[Quote, ...]
    sentences: int
    prose: str | None = None


class Index(Struct, frozen=True):
    """What the documents say together."""

    documents: tuple[Document, ...]
    themes: tuple[Theme, ...]
    related: tuple[Related, ...]


class Account(Struct, frozen=True, kw_only=True):
    """Where every file went.

    Attributes:
        files_in: documents that were found.
        files_processed: those with an answer, digested or set aside.
        digested: with a summary in the digest.
        set_aside: answered with a note, such as "binary, not text".
        lost: without an answer.
        counted_twice: answers that entered the digest a second time.
        jobs_put: jobs that the queue took, one for each file.
        jobs_acked: jobs that a worker has ended with an answer, each once.
        handed_out: attempts that began; more than `jobs_put` if some jobs went out again.
        reassigned: of those, how many because the worker that had the job was gone.
        repeats_ignored: acks that the queue refused, since the job was somebody else's by then.
        workers_killed: by the demo itself, on purpose.
        connections_cut: by the demo itself, on purpose.
        seconds: from the first hand-out to the last answer.
    """

    files_in: int
    files_processed: int
    digested: int
    set_aside: int
    lost: int
    counted_twice: int
    jobs_put: int
    jobs_acked: int
    handed_out: int
    reassigned: int
    repeats_ignored: int
    workers_killed: int
    connections_cut: int
    seconds: float

    @property
    def balanced(self) -> bool:
        """Whether every file was processed, once."""
        complete = self.files_in == self.files_processed == self.jobs_put
        return complete and not self.lost and not self.counted_twice


class Digest(Struct, frozen=True):
    """The result of one run.

    Attributes:
        folder: what was read.
        index: what its documents say.
        notes: what was left out or set aside, and why.
        others: files of formats that the demo does not read.
        decisions: what the coordinator and the supervisor decided on the way, in order.
        account: where every file went.
        without_prose: documents that a model should have written about, and did not.
    """

    folder: str
    index: Index
    notes: tuple[Note, ...]
    others: int
    decisions: tuple[str, ...]
    account: Account
    without_prose: int = 0
