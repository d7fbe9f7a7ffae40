"""Find the documents of a folder and read one of them; what cannot be used becomes a note, never a crash."""

from __future__ import annotations

import codecs
import os
import stat
import tokenize
from collections.abc import Collection, Iterator
from io import BytesIO
from pathlib import Path

from msgspec import Struct

FORMATS = {
    ".htm": "html",
    ".html": "html",
    ".markdown": "markdown",
    ".md": "markdown",
    ".py": "python",
    ".rst": "rst",
    ".text": "text",
    ".txt": "text",
    ".xhtml": "html",
}
"""File name suffix, in lower case, to the reader of that format."""

_SKIPPED_FOLDERS = {"__pycache__", "build", "dist", "env", "node_modules", "site-packages", "venv"}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_TEXT_CONTROLS = frozenset(b"\t\n\r\f\v\b\x1b")


class Limits(Struct, frozen=True):
    """What the demo takes from a folder at most.

    Attributes:
        files: documents; further ones are left out and counted in a note.
        file_bytes: size of one document; a larger one is left out with a note.
        sentences: sentences of one document that are ranked; further ones are not looked at.
    """

    files: int = 2000
    file_bytes: int = 2 * 1024 * 1024
    sentences: int = 1000


class Source(Struct, frozen=True):
    """One document, before it is read. `path` is relative to the folder, with forward slashes."""

    path: str
    format: str


class Note(Struct, frozen=True):
    """What was left out, and why, in one line."""

    path: str
    problem: str


class Found(Struct, frozen=True):
    """What a folder holds.

    Attributes:
        sources: its documents, in the order of their paths.
        notes: what could not be looked at.
        others: how many files are of no format that the demo reads.
    """

    sources: tuple[Source, ...]
    notes: tuple[Note, ...]
    others: int


def find_sources(root: Path, limits: Limits, formats: Collection[str] = FORMATS.values()) -> Found:
    """Walk `root`, without hidden folders, virtual environments, build output and symbolic links.

    Args:
        root: where to begin.
        limits: what is taken at most.
        formats: documents of other formats are left alone.

    Raises:
        OSError: if `root` itself is missing, no folder, or not readable.
    """
    os.scandir(root).close()
    sources: list[Source] = []
    notes: list[Note] = []
    others = 0
    for path in _files(root, notes):
        kind = FORMATS.get(path.suffix.lower(), "")
        if kind not in formats:
            others += 1
            continue
        problem = _problem(root, path, limits)
        if problem:
            notes.append(Note(_name(root, path), problem))
        else:
            sources.append(Source(_name(root, path), kind))
    kept = sorted(sources, key=lambda source: source.path)[: limits.files]
    if len(sources) > len(kept):
        notes.append(
            Note(".", f"{len(sources) - len(kept)} more documents: the demo reads {limits.files:,} at most")
        )
    return Found(tuple(kept), tuple(sorted(notes, key=lambda note: note.path)), others)


def read_source(root: Path, source: Source, limits: Limits) -> str:
    """Read one document as text, with Unix line ends.

    Raises:
        ValueError: if it is gone, not permitted, too large, empty, or no text; says which.
    """
    data = _read(root / source.path, limits.file_bytes)
    if not data.strip():
        raise ValueError("empty")
    text = _decode(data, source.format)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _files(root: Path, notes: list[Note]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        notes.append(Note(_name(root, Path(error.filename)), f"folder not readable: {error.strerror}"))

    for folder, folders, files in os.walk(root, onerror=unreadable):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if not _is_skipped(here / name))
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def _is_skipped(folder: Path) -> bool:
    hidden = (
        folder.name.startswith(".") or folder.name in _SKIPPED_FOLDERS or folder.name.endswith(".egg-info")
    )
    return hidden or (folder / "pyvenv.cfg").exists()


def _problem(root: Path, path: Path, limits: Limits) -> str | None:
    """Say what is wrong with a file before it is opened: opening a pipe would wait forever."""
    try:
        path.relative_to(root).as_posix().encode()
        facts = path.lstat()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    except OSError as error:
        return f"not readable: {error.strerror}"
    if stat.S_ISLNK(facts.st_mode):
        return "a symbolic link, not followed"
    if not stat.S_ISREG(facts.st_mode):
        return "not a regular file"
    return _too_large(facts.st_size, limits.file_bytes) if facts.st_size > limits.file_bytes else None


def _read(path: Path, cap: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(cap + 1)
    except OSError as error:
        raise ValueError(f"not readable: {error.strerror}") from error
    if len(data) > cap:
        raise ValueError(_too_large(len(data), cap))
    return data


def _decode(data: bytes, kind: str) -> str:
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), None)
    if encoding is None and _is_binary(data):
        raise ValueError("binary, not text")
    try:
        if encoding is None and kind == "python":
            encoding = tokenize.detect_encoding(BytesIO(data).readline)[0]
        return data.decode(encoding or "utf-8")
    except (UnicodeDecodeError, SyntaxError, LookupError):
        return data.decode("cp1252", errors="replace")


def _is_binary(data: bytes) -> bool:
    head = data[:8192]
    controls = sum(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head)
    return b"\0" in data or controls * 20 > len(head)


def _too_large(size: int, cap: int) -> str:
    return f"too large: {_in_units(size)}, and the demo reads up to {_in_units(cap)}"


def _in_units(size: int) -> str:
    for unit, size_bytes in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= size_bytes:
            return f"{size / size_bytes:.3g} {unit}"
    return f"{size} bytes"


def _name(root: Path, path: Path) -> str:
    """The path below `root`; bytes that are no UTF-8 show as backslash escapes."""
    text = path.relative_to(root).as_posix()
    return text.encode(errors="backslashreplace").decode()
