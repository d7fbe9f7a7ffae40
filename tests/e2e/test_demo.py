"""The main job, as people run it: real processes, one of them killed, one connection cut, nothing lost."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.demo.endpoint import FakeEndpoint, serving

pytestmark = pytest.mark.e2e

SUBJECTS = {
    "bread.md": "The baker kneads the dough with flour and water. A hot oven gives the loaf its crust.",
    "boats.txt": "The captain trims the sail in a rising wind. An anchor holds the boat against the tide.",
    "music.rst": "The orchestra plays a melody in a quick tempo. A choir answers the violin with a chord.",
    "oven.html": "<h1>Oven</h1><p>The baker heats the oven before the dough is ready. Flour burns in it.</p>",
    "tide.py": '"""The tide lifts the boat off the sand.\n\nThe captain waits for the wind to turn."""\n',
}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "agentbus", "demo", *arguments]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return subprocess.run(
        command(*arguments), env=environment, capture_output=True, text=True, timeout=50, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in SUBJECTS.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "empty.md").touch()
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\x00\x01")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    return tmp_path


def test_a_worker_and_a_connection_die_and_no_file_is_lost(folder: Path) -> None:
    ran = demo(str(folder), "--workers", "2", "--json")
    assert ran.returncode == 0, ran.stderr
    digest: dict[str, Any] = msgspec.json.decode(ran.stdout)
    account = digest["account"]
    assert (account["files_in"], account["files_processed"]) == (7, 7)
    assert (account["digested"], account["set_aside"]) == (5, 2)
    assert (account["lost"], account["counted_twice"]) == (0, 0)
    assert (account["workers_killed"], account["connections_cut"]) == (1, 1)
    assert (account["jobs_put"], account["jobs_acked"]) == (7, 7)
    assert account["reassigned"] >= 1
    assert account["handed_out"] == account["jobs_put"] + account["reassigned"]
    assert digest["notes"] == [
        {"path": "binary.txt", "problem": "binary, not text"},
        {"path": "empty.md", "problem": "empty"},
    ]
    assert digest["others"] == 1
    assert [one["path"] for one in digest["index"]["documents"]] == sorted(SUBJECTS)
    related = {frozenset((one["first"], one["second"])) for one in digest["index"]["related"][:2]}
    assert related == {frozenset(("bread.md", "oven.html")), frozenset(("boats.txt", "tide.py"))}
    told = "\n".join(digest["decisions"])
    for words in ("chaos: killing worker", "was ended by SIGKILL", "chaos: cut the connection of worker"):
        assert words in told
        assert words in ran.stderr


def test_one_file_is_enough_for_both_accidents(tmp_path: Path) -> None:
    (tmp_path / "only.md").write_text(SUBJECTS["bread.md"])
    ran = demo(str(tmp_path), "--workers", "1")
    assert ran.returncode == 0, ran.stderr
    for line in (
        r"1  files processed \(1 digested, 0 set aside\)",
        r"0  lost",
        r"0  counted twice",
        r"1  worker processes killed on purpose",
        r"1  connections cut on purpose",
        r"every file is accounted for, once",
    ):
        assert re.search(line, ran.stdout), ran.stdout


def test_ctrl_c_stops_every_process(folder: Path) -> None:
    run = command(str(folder), "--workers", "2", "--no-chaos")
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        children: list[int] = []
        while len(children) < 2:
            found = re.search(r"runs \(process (\d+)\)", process.stderr.readline())
            children += [int(found[1])] if found else []
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def test_a_model_writes_the_prose_and_its_failure_is_told(folder: Path) -> None:
    """The first five requests are answered; then the endpoint is asked no more."""
    endpoint = FakeEndpoint([*[["A model ", "wrote this."]] * 4, [500]])

    async def run() -> tuple[int, bytes]:
        async with serving(endpoint) as url:
            arguments = command(str(folder), "--no-chaos", "--json", "--workers", "1", "--model-url", url)
            process = await asyncio.create_subprocess_exec(*arguments, stdout=subprocess.PIPE)
            out, _ = await process.communicate()
            return process.returncode or 0, out

    code, out = asyncio.run(run())
    digest = msgspec.json.decode(out)
    prose = [document["prose"] for document in digest["index"]["documents"]]
    assert prose.count("A model wrote this.") == 4
    assert prose.count(None) == 1
    assert {"HTTP status 500" in note["problem"] for note in digest["notes"]} == {True, False}
    assert (code, digest["without_prose"]) == (1, 1)
    account = digest["account"]
    assert (account["handed_out"], account["lost"]) == (7, 0)
    assert (account["workers_killed"], account["connections_cut"]) == (0, 0)
