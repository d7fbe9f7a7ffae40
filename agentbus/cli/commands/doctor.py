"""`agentbus doctor`: explain why a connection fails."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import typer

from agentbus.cli import console
from agentbus.cli.doctor import Examination, Finding
from agentbus.cli.exits import FAILED
from agentbus.cli.options import DEFAULT_URL, Json, Key, Timeout, Token, access

_MARKS = {True: "ok  ", False: "FAIL", None: "-   "}


def doctor(
    url: Annotated[str, typer.Argument(envvar="AGENTBUS_URL", metavar="URL", help="The hub.")] = DEFAULT_URL,
    *,
    key: Key = None,
    token: Token = None,
    json: Json = False,
    timeout: Timeout = 10.0,
) -> None:
    """Try each step on the way to a hub, and explain the first that fails.

    What can't be tried because of it is marked so.
    """
    examination = Examination(access(url, key, token), step_timeout=timeout, wall=time.time)
    if not asyncio.run(_healthy(examination, json=json)):
        raise typer.Exit(FAILED)


async def _healthy(examination: Examination, *, json: bool) -> bool:
    healthy = True
    async for finding in examination.findings():
        healthy = healthy and finding.ok is not False
        _print(finding, json=json)
    return healthy


def _print(finding: Finding, *, json: bool) -> None:
    if json:
        console.data_json(finding)
        return
    console.data(f"{_MARKS[finding.ok]}  {finding.step:<10}  {finding.fact}")
    if finding.advice:
        console.data(f"{'':>18}{finding.advice}")
