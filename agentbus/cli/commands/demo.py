"""`agentbus demo`: the main job."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentbus.cli import console
from agentbus.cli.exits import FAILED, misused
from agentbus.cli.options import Json

if TYPE_CHECKING:
    from agentbus.cli.demo.digest import Digest
    from agentbus.cli.demo.endpoint import Endpoint
    from agentbus.cli.demo.sources import Found

MOST_WORKERS = 64

Folder = Annotated[
    Path | None,
    typer.Argument(metavar="FOLDER", help="What to read. [default: this repository's documents]"),
]
Workers = Annotated[
    int | None,
    typer.Option(
        "--workers", min=1, max=MOST_WORKERS, metavar="N", help="Processes. [default: one per core]"
    ),
]
ModelUrl = Annotated[
    str | None,
    typer.Option(
        "--model-url", envvar="OPENAI_BASE_URL", metavar="URL", help="Have a model there write the summaries."
    ),
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        envvar="OPENAI_MODEL",
        metavar="NAME",
        help="Which of its models. [default: the first listed]",
    ),
]


def demo(
    folder: Folder = None,
    *,
    workers: Workers = None,
    no_chaos: Annotated[bool, typer.Option("--no-chaos", help="Kill no worker, cut no connection.")] = False,
    model_url: ModelUrl = None,
    model: Model = "",
    json: Json = False,
) -> None:
    """Digest a folder with a supervised fleet of processes; one worker and one connection die on the way."""
    root, found = _find(folder)
    if not found.sources:
        for note in found.notes:
            console.say(f"left out: {note.path}: {note.problem}")
        raise misused(f"{root}: no text, Markdown, reStructuredText, HTML or Python file in it")
    digest = _digest(
        root, found, workers or os.cpu_count() or 1, _endpoint(model_url, model), chaos=not no_chaos
    )
    if json:
        console.data_json(digest)
    else:
        _show(digest)
    if not digest.account.balanced or digest.without_prose:
        raise typer.Exit(FAILED)


def _find(folder: Path | None) -> tuple[Path, Found]:
    from agentbus.cli.demo.folder import EVERYTHING, default_folder
    from agentbus.cli.demo.sources import Limits, find_sources

    root, formats = (folder.absolute(), EVERYTHING) if folder else default_folder()
    try:
        os.fspath(root).encode()
        return root, find_sources(root, Limits(), formats)
    except OSError as error:
        raise misused(f"{root}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise misused(f"{root}: its name is not UTF-8") from None


def _endpoint(url: str | None, model: str) -> Endpoint | None:
    from agentbus.cli.demo.endpoint import Endpoint

    if not url:
        return None
    if not url.startswith(("http://", "https://")):
        raise misused("--model-url: an http:// or https:// URL")
    if find_spec("openai") is None:  # here it is missed in one line, in a worker it would be a crash
        raise ModuleNotFoundError("No module named 'openai'", name="openai")
    return Endpoint(url, model)


def _digest(root: Path, found: Found, workers: int, endpoint: Endpoint | None, *, chaos: bool) -> Digest:
    from agentbus.cli.demo.compose import compose
    from agentbus.cli.demo.fleet.messages import Job
    from agentbus.cli.demo.fleet.run import Run, run_fleet
    from agentbus.cli.demo.sources import Limits
    from agentbus.cli.progress import make_progress

    console.say(f"demo: {len(found.sources)} files of {root}, {workers} worker processes")
    run = Run(Job(str(root), Limits(), endpoint), found.sources, workers, chaos)
    result = run_fleet(run, make_progress(len(found.sources), "files"))
    asked = endpoint is not None
    return compose(str(root), found, result.answers, result.account, result.decisions, model_asked=asked)


def _show(digest: Digest) -> None:
    from agentbus.cli.demo.render import render

    for part in render(digest):
        console.show(part)
