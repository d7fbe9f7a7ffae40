"""`agentbus worker`: host an agent class of the caller's in this process."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentbus.cli import console
from agentbus.cli.exits import misused
from agentbus.cli.options import DEFAULT_URL, Key, Token, Url, access


class Trust(StrEnum):
    """Whom a node believes."""

    ALL = "all"
    TOKENS = "tokens"


def worker(
    target: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="The agent's class.")],
    *,
    url: Url = DEFAULT_URL,
    key: Key = None,
    token: Token = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The agent's; default: its class's.")
    ] = None,
    replicas: Annotated[
        int, typer.Option("--replicas", min=1, metavar="N", help="How many share the name.")
    ] = 1,
    namespace: Annotated[
        str,
        typer.Option(
            "--namespace", envvar="AGENTBUS_NAMESPACE", metavar="NAME", help="Agents of others never meet it."
        ),
    ] = "default",
    node: Annotated[
        str | None,
        typer.Option(
            "--node", envvar="AGENTBUS_NODE", metavar="ID", help="This node's id; default: a fresh one."
        ),
    ] = None,
    trust: Annotated[
        Trust | None, typer.Option("--trust", envvar="AGENTBUS_TRUST", help="Whom to believe.")
    ] = None,
) -> None:
    """Host an agent until Ctrl-C or SIGTERM; connects again for as long as that takes."""
    from agentbus.agents.spawnable import table_of
    from agentbus.agents.worker import load_target, run_worker

    wanted = access(url, key, token)
    given = wanted.token
    sys.path.insert(0, str(Path.cwd()))  # as `python -m` does: the class is the caller's own
    try:
        cls = load_target(target)
        table_of(cls)
    except (ValueError, ImportError, TypeError) as error:
        raise misused(f"{target}: {error}") from None
    console.say(f"agentbus worker: {target} at {wanted.origin.text}, namespace {namespace}; Ctrl-C ends")
    try:
        code = run_worker(
            cls,
            wanted.origin.text,
            api_key=wanted.key,
            token_provider=None if given is None else lambda: given,
            name=name,
            replicas=replicas,
            namespace=namespace,
            node=node,
            trust=None if trust is None else trust.value,
        )
    except (ValueError, ImportError, TypeError) as error:
        raise misused(f"{target}: {error}") from None
    raise typer.Exit(code)
