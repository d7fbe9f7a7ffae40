"""The command tree. Each command lives in a file of its own; what it needs is imported when it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from agentbus.cli.commands.demo import demo
from agentbus.cli.commands.doctor import doctor
from agentbus.cli.commands.jobs import jobs
from agentbus.cli.commands.keys import keys
from agentbus.cli.commands.kick import kick
from agentbus.cli.commands.peers import peers
from agentbus.cli.commands.pub import publish, send
from agentbus.cli.commands.queue import queue
from agentbus.cli.commands.schedules import schedules
from agentbus.cli.commands.serve import serve
from agentbus.cli.commands.sub import subscribe
from agentbus.cli.commands.token import token
from agentbus.cli.commands.usage import usage
from agentbus.cli.commands.version import print_version, show_version
from agentbus.cli.commands.worker import worker
from agentbus.cli.help import Command, Group

app = typer.Typer(
    name="agentbus",
    cls=Group,
    help="The message bus that AI agents run on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The message bus that AI agents run on."""


# The short help has to fit a line of 80 columns: the docstring of each command is longer.
app.command("demo", cls=Command, short_help="Digest a folder with a fleet of processes.")(demo)
app.command("serve", cls=Command, short_help="Run a hub until Ctrl-C or SIGTERM.")(serve)
app.command("pub", cls=Command, short_help="Publish to a channel.")(publish)
app.command("send", cls=Command, short_help="Send to one peer.")(send)
app.command("sub", cls=Command, short_help="Print what is published to channels, until Ctrl-C.")(subscribe)
app.command("peers", cls=Command, short_help="Print who is subscribed to a channel.")(peers)
app.command("kick", cls=Command, short_help="Close all connections of one peer.")(kick)
app.command("usage", cls=Command, short_help="Print what an app has used this month.")(usage)
app.command("worker", cls=Command, short_help="Host an agent class of yours until Ctrl-C or SIGTERM.")(worker)
app.add_typer(queue, name="queue")
app.add_typer(jobs, name="jobs")
app.add_typer(schedules, name="schedules")
app.command("token", cls=Command, short_help="Sign a token for one peer, here or by the hub.")(token)
app.add_typer(keys, name="keys")
app.command("doctor", cls=Command, short_help="Try each step to a hub, explain the first that fails.")(doctor)
app.command("version", cls=Command, short_help="Print the versions of agentbus and of its parts.")(
    show_version
)
