"""The entry point of the `agentbus` command: what escapes it becomes one line and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from agentbus.errors import AgentBusError
from agentbus.starting import INTERRUPTED, end_quietly_on_ctrl_c, raise_on_ctrl_c

_PIP = "the agentbus command needs typer and rich: pip install 'agentbus[cli]'"


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and exit.

    Args:
        arguments: what stands after `agentbus`; that of this process if it is left out.

    Raises:
        SystemExit: always; 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted.
    """
    try:
        _run(arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:
        end_quietly_on_ctrl_c()  # what is left is the end of the interpreter


def _run(arguments: Sequence[str] | None) -> NoReturn:
    try:
        from agentbus.cli import console, exits
        from agentbus.cli.app import app
        from agentbus.cli.logs import configure_logging
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in {"rich", "typer"}:
            raise
        sys.stderr.write(f"agentbus: {_PIP}\n")
        sys.exit(2)
    raise_on_ctrl_c()
    console.survive_any_locale()
    configure_logging("warning", "text")
    try:
        app(args=None if arguments is None else list(arguments), prog_name="agentbus")
    except AgentBusError as error:
        console.complain(exits.describe(error))
        sys.exit(exits.code_of(error))
    except ModuleNotFoundError as error:
        problem = exits.missing_extra(error)
        if problem is None:
            raise
        console.complain(problem)
        sys.exit(exits.USAGE)
    sys.exit(exits.DONE)
