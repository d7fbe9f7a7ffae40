"""The digest for people: themes first, then documents, relations, what was left out, and the account."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.console import RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from agentbus.cli.demo.digest import Account, Digest, Document, Quote, Related, Theme
from agentbus.cli.demo.sources import Note
from agentbus.cli.text import clean

DOCUMENTS_SHOWN = 40
_QUOTES_EACH = 2
_NOTES_EACH = 12  # of one kind; further ones are counted


def render(digest: Digest) -> Iterator[RenderableType]:
    """Yield the parts of a digest, top to bottom."""
    index = digest.index
    sentences = sum(document.sentences for document in index.documents)
    size = f"{_count(len(index.documents), 'document')}, {_count(sentences, 'sentence')}"
    yield Rule(f"{clean(digest.folder)}: {size}", style="bold")
    if index.themes:
        yield _heading("Main themes")
        for number, theme in enumerate(index.themes, start=1):
            yield from _theme(number, theme)
    if index.documents:
        yield _heading("Documents")
        yield from _documents(index.documents)
    if index.related:
        yield _heading("Most related")
        yield _relations(index.related)
    if digest.notes or digest.others:
        yield _heading("Left out")
        yield from _notes(digest.notes, digest.others)
    yield _heading("Account")
    yield _account(digest.account)


def _heading(text: str) -> RenderableType:
    return Text(f"\n{text}", style="bold")


def _theme(number: int, theme: Theme) -> Iterator[RenderableType]:
    line = Text(f"{number}. ")
    line.append(clean(" · ".join(theme.terms)), style="bold cyan")
    line.append(f"   in {_files(theme.files)}, {theme.share:.0%}", style="dim")
    yield line
    for quote in theme.quotes:
        yield Padding(_quote(quote), (0, 0, 0, 3))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _quote(quote: Quote) -> Text:
    return Text.assemble(clean(quote.text), "  ", (_place(quote), "dim"))


def _place(quote: Quote) -> str:
    return f"{clean(quote.path)}:{quote.line}"


def _documents(documents: tuple[Document, ...]) -> Iterator[RenderableType]:
    for document in documents[:DOCUMENTS_SHOWN]:
        terms = clean(", ".join(document.key_terms))
        yield Text.assemble((clean(document.path), "bold"), "  ", (terms, "cyan"))
        yield from (Padding(part, (0, 0, 0, 3)) for part in _in_short(document))
    if len(documents) > DOCUMENTS_SHOWN:
        yield Text(f"and {len(documents) - DOCUMENTS_SHOWN} more: --json has them all", style="dim")


def _in_short(document: Document) -> Iterator[Text]:
    if document.prose is not None:
        yield Text(clean(document.prose))
        return
    for quote in document.summary[:_QUOTES_EACH]:
        yield Text.assemble(clean(quote.text), "  ", (f":{quote.line}", "dim"))


def _relations(related: tuple[Related, ...]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right", style="dim")
    for _ in range(3):
        table.add_column(overflow="fold")
    for one in related:
        row = (f"{one.similarity:.2f}", clean(one.first), clean(one.second), clean(", ".join(one.terms)))
        table.add_row(*row)
    return table


def _notes(notes: tuple[Note, ...], others: int) -> Iterator[RenderableType]:
    by_problem = sorted(notes, key=lambda note: note.problem)
    for problem, group in groupby(by_problem, key=lambda note: note.problem):
        same = list(group)
        for note in same[:_NOTES_EACH]:
            yield Text(f"{clean(note.path)}: {clean(problem)}")
        if len(same) > _NOTES_EACH:
            yield Text(f"and {len(same) - _NOTES_EACH} more: {clean(problem)}", style="dim")
    if others:
        yield Text(f"{_files(others)} of other types", style="dim")


def _account(account: Account) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for value, what in _account_lines(account):
        table.add_row(str(value), what)
    verdict = "every file is accounted for, once" if account.balanced else "THE ACCOUNT DOES NOT BALANCE"
    table.add_row("", Text(verdict, style="bold green" if account.balanced else "bold red"))
    return table


def _account_lines(account: Account) -> Iterator[tuple[int | str, str]]:
    yield account.files_in, "files in"
    yield (
        account.files_processed,
        f"files processed ({account.digested} digested, {account.set_aside} set aside)",
    )
    yield account.lost, "lost"
    yield account.counted_twice, "counted twice"
    yield account.jobs_put, f"jobs put on the queue, {account.jobs_acked} of them acked"
    yield account.handed_out, f"attempts, {account.reassigned} of them again since a worker had died"
    if account.repeats_ignored:
        yield account.repeats_ignored, "acks refused, as the job was another worker's by then"
    yield account.workers_killed, "worker processes killed on purpose"
    yield account.connections_cut, "connections cut on purpose"
    yield f"{account.seconds:.1f}", "seconds"
