from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentbus.cli.demo.sources import Limits, Note, Source, find_sources, read_source


def write(root: Path, name: str, data: bytes | str = "Some text.") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_it_finds_documents_by_suffix_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for name in ("z.md", "a/b.RST", "a/page.html", "code.py", "n.txt", "image.png", "Makefile"):
        write(tmp_path, name)
    found = find_sources(tmp_path, Limits())
    assert found.sources == (
        Source("a/b.RST", "rst"),
        Source("a/page.html", "html"),
        Source("code.py", "python"),
        Source("n.txt", "text"),
        Source("z.md", "markdown"),
    )
    assert (found.notes, found.others) == ((), 2)


def test_it_leaves_hidden_and_made_folders_alone(tmp_path: Path) -> None:
    for name in (
        ".git/a.md", ".hidden.md", "node_modules/a.md", ".venv/a.md", "venv/a.md", "x/__pycache__/a.py",
        "p.egg-info/a.txt", "myenv/lib/a.py", "myenv/pyvenv.cfg", "kept/a.md",
    ):  # fmt: skip
        write(tmp_path, name)
    assert [source.path for source in find_sources(tmp_path, Limits()).sources] == ["kept/a.md"]


def test_what_cannot_be_opened_is_one_note_each(tmp_path: Path) -> None:
    write(tmp_path, "real.md")
    (tmp_path / "link.md").symlink_to("real.md")
    os.mkfifo(tmp_path / "pipe.txt")
    write(tmp_path, "big.txt", b"x" * 3000)
    write(tmp_path, os.fsdecode(b"bad\xff.md"))
    found = find_sources(tmp_path, Limits(file_bytes=2000))
    assert [source.path for source in found.sources] == ["real.md"]
    assert found.notes == (
        Note("bad\\udcff.md", "its name is not UTF-8"),
        Note("big.txt", "too large: 2.93 KiB, and the demo reads up to 1.95 KiB"),
        Note("link.md", "a symbolic link, not followed"),
        Note("pipe.txt", "not a regular file"),
    )


def test_more_files_than_the_limit_are_counted_in_a_note(tmp_path: Path) -> None:
    for i in range(5):
        write(tmp_path, f"{i}.md")
    found = find_sources(tmp_path, Limits(files=2))
    assert [source.path for source in found.sources] == ["0.md", "1.md"]
    assert found.notes == (Note(".", "3 more documents: the demo reads 2 at most"),)


@pytest.mark.parametrize(("name", "error"), [("missing", FileNotFoundError), ("file", NotADirectoryError)])
def test_a_bad_folder_is_an_os_error(tmp_path: Path, name: str, error: type[OSError]) -> None:
    write(tmp_path, "file")
    with pytest.raises(error):
        find_sources(tmp_path / name, Limits())


def read(root: Path, name: str, kind: str = "text", limits: Limits | None = None) -> str:
    return read_source(root, Source(name, kind), limits or Limits())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"caf\xc3\xa9\r\nx\ry", "café\nx\ny"),
        (b"\xef\xbb\xbfbom", "bom"),
        ("weit".encode("utf-16"), "weit"),
        (b"caf\xe9", "café"),
        (b"\x1b[1mcolour\x1b[0m log", "\x1b[1mcolour\x1b[0m log"),
    ],
)
def test_it_reads_the_usual_encodings(tmp_path: Path, data: bytes, text: str) -> None:
    write(tmp_path, "a.txt", data)
    assert read(tmp_path, "a.txt") == text


def test_python_names_its_own_encoding(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "# coding: koi8-r\n# да\n".encode("koi8-r"))
    assert "да" in read(tmp_path, "a.py", "python")
    write(tmp_path, "b.py", b"# coding: nonsense\n# plain\n")
    assert "plain" in read(tmp_path, "b.py", "python")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"PK\x03\x04\0\0", "binary"),
        (bytes(range(1, 32)) * 9, "binary"),
        (b"long" * 1000, "too large"),
    ],
)
def test_what_is_no_text_is_said_in_words(tmp_path: Path, data: bytes, problem: str) -> None:
    write(tmp_path, "a.txt", data)
    with pytest.raises(ValueError, match=problem):
        read(tmp_path, "a.txt", limits=Limits(file_bytes=2000))


def test_a_file_that_went_away_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not readable: No such file"):
        read(tmp_path, "gone.txt")


def test_a_folder_in_place_of_a_file_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(ValueError, match="not readable: Is a directory"):
        read(tmp_path, "a.txt")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_said_in_words(tmp_path: Path) -> None:
    write(tmp_path, "shut/a.md")
    write(tmp_path, "a.md").chmod(0)
    (tmp_path / "shut").chmod(0)
    try:
        found = find_sources(tmp_path, Limits())
        with pytest.raises(ValueError, match="not readable: Permission denied"):
            read(tmp_path, "a.md")
    finally:
        (tmp_path / "shut").chmod(0o700)
    assert found.notes == (Note("shut", "folder not readable: Permission denied"),)
