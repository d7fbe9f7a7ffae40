"""From the answers of a run to its digest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentbus.cli.demo.answers import Answer
from agentbus.cli.demo.digest import Account, Digest
from agentbus.cli.demo.merge import merge
from agentbus.cli.demo.sources import Found, Note


def compose(
    folder: str,
    found: Found,
    answers: Sequence[Answer],
    account: Account,
    decisions: tuple[str, ...],
    *,
    model_asked: bool,
) -> Digest:
    """Merge the summaries; collect every note, in the order of the paths."""
    summaries = [answer.summary for answer in answers if answer.summary]
    notes = [*found.notes, *_notes(answers)]
    return Digest(
        folder=folder,
        index=merge(summaries),
        notes=tuple(sorted(notes, key=lambda note: (note.path, note.problem))),
        others=found.others,
        decisions=decisions,
        account=account,
        without_prose=sum(one.prose is None for one in summaries) if model_asked else 0,
    )


def _notes(answers: Sequence[Answer]) -> Iterator[Note]:
    for answer in answers:
        if answer.note:
            yield answer.note
        if answer.summary and answer.summary.truncated:
            kept = answer.summary.sentence_count
            yield Note(answer.summary.path, f"only its first {kept} sentences were ranked")
