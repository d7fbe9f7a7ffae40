from __future__ import annotations

import random

from agentbus.cli.demo.digest import Index
from agentbus.cli.demo.extract import Extract
from agentbus.cli.demo.merge import merge
from agentbus.cli.demo.passages import Sentence
from agentbus.cli.demo.rank import FileSummary, summarise

SUBJECTS = {
    "bread": ["flour", "water", "salt", "yeast", "oven", "crust", "dough", "loaf", "baker"],
    "boats": ["sail", "mast", "rudder", "harbour", "anchor", "keel", "wind", "tide", "captain"],
    "music": ["violin", "rhythm", "melody", "chord", "tempo", "concert", "orchestra", "tune", "choir"],
}


def about(subject: str, path: str, seed: int, count: int = 14) -> FileSummary:
    chance = random.Random(seed)
    words = SUBJECTS[subject]
    texts = [
        f"The {' '.join(chance.sample(words, 4))} of {subject} belong to every {chance.choice(words)} in it."
        for _ in range(count)
    ]
    sentences = tuple(Sentence(text, 10 * i) for i, text in enumerate(texts, start=1))
    return summarise(path, Extract(path, (), sentences))


def folder() -> list[FileSummary]:
    return [
        about("bread", "kitchen/one.md", 1),
        about("bread", "kitchen/two.md", 2),
        about("boats", "sea.txt", 3),
        about("boats", "harbour.txt", 4),
        about("music", "hall.rst", 5),
    ]


def test_documents_about_the_same_are_related_and_say_why() -> None:
    related = merge(folder()).related
    assert {(one.first, one.second) for one in related[:2]} == {
        ("kitchen/one.md", "kitchen/two.md"),
        ("harbour.txt", "sea.txt"),
    }
    bread = next(one for one in related if one.first.startswith("kitchen"))
    assert 0.5 < bread.similarity <= 1.0
    assert {word for term in bread.terms for word in term.split()} <= {*SUBJECTS["bread"], "bread", "belong"}


def test_themes_carry_sentences_with_file_and_line() -> None:
    index = merge(folder())
    places = {(one.path, sentence.line, sentence.text) for one in folder() for sentence in one.sentences}
    quotes = [quote for theme in index.themes for quote in theme.quotes]
    assert quotes
    assert {(quote.path, quote.line, quote.text) for quote in quotes} <= places
    subjects = [{word for term in theme.terms for word in term.split()} for theme in index.themes]
    for words in SUBJECTS.values():
        assert any(found & set(words) for found in subjects)


def test_a_theme_quotes_different_files_first() -> None:
    for theme in merge(folder()).themes:
        paths = [quote.path for quote in theme.quotes]
        distinct = len(set(paths))
        assert len(set(paths[:distinct])) == distinct


def test_shares_of_themes_sum_to_one_and_fall() -> None:
    shares = [theme.share for theme in merge(folder()).themes]
    assert abs(sum(shares) - 1.0) < 0.01
    assert shares == sorted(shares, reverse=True)


def test_key_terms_set_a_document_apart() -> None:
    documents = {one.path: one for one in merge(folder()).documents}
    music = {word for term in documents["hall.rst"].key_terms for word in term.split()}
    assert music & set(SUBJECTS["music"])
    assert not music & {*SUBJECTS["bread"], *SUBJECTS["boats"]}


def test_the_order_of_arrival_does_not_matter() -> None:
    assert merge(folder()) == merge(list(reversed(folder())))


def test_no_file_and_one_short_file_give_a_small_index() -> None:
    assert merge([]) == Index((), (), ())
    alone = merge([about("bread", "a.md", 1, count=2)])
    assert [one.path for one in alone.documents] == ["a.md"]
    assert (alone.themes, alone.related) == ((), ())


def test_documents_without_terms_are_listed() -> None:
    empty = summarise("x.txt", Extract("x.txt", (), (Sentence("this is it and that was that", 1),)))
    index = merge([empty, about("bread", "a.md", 1)])
    assert [(one.path, one.key_terms) for one in index.documents if one.path == "x.txt"] == [("x.txt", ())]
    assert merge([empty]).documents[0].key_terms == ()
