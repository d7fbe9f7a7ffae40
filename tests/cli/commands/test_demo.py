"""What the demo refuses before it starts a process; runs of it are in tests/e2e."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentbus.cli.demo.folder import DOCUMENTS, default_folder
from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("name", "words"), [("missing", "No such file"), ("file.md", "Not a directory"), (".", "no text")]
)
def test_a_folder_that_cannot_be_read_is_2_and_one_line(
    run: Run, tmp_path: Path, name: str, words: str
) -> None:
    if name == "file.md":
        (tmp_path / name).touch()
    code, out, err = run("demo", str(tmp_path / name))
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_folder_without_a_usable_file_says_why_for_each(run: Run, tmp_path: Path) -> None:
    (tmp_path / "link.md").symlink_to("elsewhere")
    ran = run("demo", str(tmp_path))
    assert ran.code == 2
    assert ran.err.splitlines()[0] == "left out: link.md: a symbolic link, not followed"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--workers", "0"], "--workers"), (["--model-url", "ftp://x"], "--model-url"), (["a", "b"], "b")],
)
def test_wrong_usage_is_2_and_says_what(
    run: Run, tmp_path: Path, arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.md").write_text("A sentence about nothing in particular.")
    monkeypatch.chdir(tmp_path)
    code, out, err = run("demo", *arguments)
    assert (code, out) == (2, "")
    assert words in err


def test_without_a_folder_it_takes_the_documents_of_this_repository() -> None:
    root, formats = default_folder()
    assert (root / "README.md").is_file()
    assert formats == DOCUMENTS
    assert "python" not in formats
