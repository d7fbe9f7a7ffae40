"""Exit codes, and the one line that goes with each."""

from __future__ import annotations

import re

import typer

from agentbus import errors
from agentbus.cli.console import complain
from agentbus.protocol import CloseCode

DONE = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130
"""Ctrl-C before the work was done. Commands that run until they are told to stop end with 0 instead."""

_MISUSE = (
    errors.HubConfigError,
    errors.InvalidNameError,
    errors.InvalidUrlError,
    errors.OversizedPayloadError,
)
_CLASS = re.compile(r"^\w+(?:[Ee]rror|Exception): ")
_EXTRAS = {
    "cronsim": "cron",
    "jwt": "hub",
    "markdown_it": "demo",
    "nats": "nats",
    "networkx": "demo",
    "numpy": "demo",
    "openai": "llm",
    "rich": "cli",
    "scipy": "demo",
    "sklearn": "demo",
    "starlette": "hub",
    "typer": "cli",
    "uvicorn": "hub",
}


def failed(problem: str) -> typer.Exit:
    """Say what failed; raise what this returns."""
    complain(problem)
    return typer.Exit(FAILED)


def misused(problem: str) -> typer.Exit:
    """Say what is wrong with the arguments or the configuration; raise what this returns."""
    complain(problem)
    return typer.Exit(USAGE)


def code_of(error: errors.AgentBusError) -> int:
    """2 if the caller gave something that cannot work, else 1."""
    return USAGE if isinstance(error, _MISUSE) else FAILED


def describe(error: errors.AgentBusError) -> str:
    """One line about an error, with the hub's own words where it sent some; escaped when it is printed."""
    if isinstance(error, errors.SignallingServerError):
        said = f": {error.server_message}" if error.server_message else ""
        return f"the hub refused the request ({error.code}){said}"
    if isinstance(error, errors.SignallingConnectError):
        return _describe_refusal(error)
    if isinstance(error, errors.HubConfigError) and error.key == "host and port":
        return error.problem  # as given on the command line, or in the file: not worth two names
    if isinstance(error, errors.TokenProviderError) and error.__cause__ is not None:
        return f"{error}: {error.__cause__}"
    return str(error)


def _describe_refusal(error: errors.SignallingConnectError) -> str:
    code = CloseCode.of(error.close_code)
    if error.http_status is not None:
        return f"no connection: the upgrade was answered with HTTP status {error.http_status}"
    if code is CloseCode.ABNORMAL:  # never on the wire: the reason is this side's own
        return f"no connection: {_plain(error.reason) or code.explanation}; `agentbus doctor` tries each step"
    said = f"; the hub said: {error.reason}" if error.reason else ""
    return f"no connection: closed with {int(code)}, {code.explanation}{said}"


def describe_unreached(error: errors.SignallingConnectError, url: str) -> str | None:
    """One line about a hub that was not reached, and what to do; None if something else was the matter."""
    if CloseCode.of(error.close_code) is not CloseCode.ABNORMAL or error.http_status is not None:
        return None
    problem = _plain(error.reason) or CloseCode.ABNORMAL.explanation
    if "refused" in problem.lower():
        problem = "refused, nothing listens there; is the hub running? `agentbus serve --dev` starts one"
    return f"no connection to {url}: {problem}; `agentbus doctor {url}` tries each step"


def _plain(reason: str) -> str:
    """Leave out the class of an error: its words are enough for people."""
    return "timed out" if reason == "TimeoutError" else _CLASS.sub("", reason)


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """The command that installs what is missing; `None` if the module is none of ours to name."""
    module = (error.name or "").partition(".")[0]
    extra = _EXTRAS.get(module)
    return extra and f"this needs {module}, which is not installed: pip install 'agentbus[{extra}]'"
