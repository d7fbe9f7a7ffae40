"""`agentbus version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import typer

from agentbus.cli import console
from agentbus.cli.options import Json

_PARTS = ("pykka", "websockets", "msgspec", "uvloop", "uvicorn", "nats-py")


def print_version(wanted: bool) -> None:
    """Print one line and end, for `agentbus --version`."""
    if wanted:
        console.data(f"agentbus {_version('agentbus')}")
        raise typer.Exit


def show_version(*, json: Json = False) -> None:
    """Print the version of agentbus and of what it stands on."""
    facts = {"agentbus": _version("agentbus"), "python": platform.python_version()}
    facts |= {name: _version(name) for name in _PARTS}
    if json:
        console.data_json(facts)
        return
    console.data(f"agentbus {facts.pop('agentbus')}")
    for name, found in facts.items():
        console.data(f"  {name} {found or 'not installed'}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
