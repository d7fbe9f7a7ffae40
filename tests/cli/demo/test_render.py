from __future__ import annotations

from io import StringIO

from msgspec import structs

from agentbus.cli.console import console
from agentbus.cli.demo.digest import Account, Digest, Document, Index, Quote, Related, Theme
from agentbus.cli.demo.render import DOCUMENTS_SHOWN, render
from agentbus.cli.demo.sources import Note

ACCOUNT = Account(
    files_in=3, files_processed=3, digested=2, set_aside=1, lost=0, counted_twice=0,
    jobs_put=3, jobs_acked=3, handed_out=4,
    reassigned=1, repeats_ignored=0, workers_killed=1, connections_cut=1, seconds=1.25,
)  # fmt: skip


def document(path: str, prose: str | None = None) -> Document:
    return Document(path, "Title", ("hub", "close code"), (Quote("It closes.", path, 7),), 12, prose)


def shown(
    *documents: Document,
    themes: tuple[Theme, ...] = (),
    related: tuple[Related, ...] = (),
    notes: tuple[Note, ...] = (),
    account: Account = ACCOUNT,
) -> str:
    digest = Digest("docs", Index(documents, themes, related), notes, 2, (), account)
    out = StringIO()
    for part in render(digest):
        console(out).print(part)
    return out.getvalue()


def test_it_shows_themes_with_file_and_line_documents_relations_notes_and_account() -> None:
    text = shown(
        document("a.md"),
        document("b.md", prose="A model wrote this."),
        themes=(Theme(("close code", "retry"), 0.5, 2, (Quote("A code ends it.", "a.md", 3),)),),
        related=(Related("a.md", "b.md", 0.75, ("hub",)),),
        notes=(Note("c.bin", "binary, not text"),),
    )
    for part in (
        "docs: 2 documents, 24 sentences",
        "1. close code · retry   in 2 files, 50%",
        "A code ends it.  a.md:3",
        "It closes.  :7",
        "A model wrote this.",
        "0.75  a.md  b.md  hub",
        "c.bin: binary, not text",
        "2 files of other types",
        "files processed (2 digested, 1 set aside)",
        "every file is accounted for, once",
    ):
        assert part in text


def test_hostile_text_does_not_reach_the_terminal() -> None:
    evil = "\x1b]0;owned\x07[bold]x[/bold]\u202e"
    text = shown(
        document(evil, prose=evil),
        themes=(Theme((evil,), 1.0, 1, (Quote(evil, evil, 1),)),),
        related=(Related(evil, evil, 1.0, (evil,)),),
        notes=(Note(evil, evil),),
    )
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold]x[/bold]" in text


def test_what_does_not_fit_is_counted() -> None:
    many = [document(f"{i:03}.md") for i in range(DOCUMENTS_SHOWN + 5)]
    text = shown(*many, notes=tuple(Note(f"{i}.txt", "empty") for i in range(20)))
    assert "and 5 more: --json has them all" in text
    assert "and 8 more: empty" in text


def test_books_that_do_not_balance_say_so() -> None:
    wrong = structs.replace(ACCOUNT, files_processed=2, set_aside=0, lost=1)
    assert "DOES NOT BALANCE" in shown(account=wrong)


def test_an_empty_digest_still_has_its_account() -> None:
    assert "files in" in shown()
