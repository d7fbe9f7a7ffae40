"""The command tree. Each command lives in a file of its own; what it needs is imported when it runs."""

from __future__ import annotations

import typer

from agentbus.cli.commands.demo import demo
from agentbus.cli.commands.doctor import doctor
from agentbus.cli.commands.jobs import jobs
from agentbus.cli.commands.keys import keys
from agentbus.cli.commands.peers import peers
from agentbus.cli.commands.pub import publish, send
from agentbus.cli.commands.queue import queue
from agentbus.cli.commands.schedules import schedules
from agentbus.cli.commands.serve import serve
from agentbus.cli.commands.sub import subscribe
from agentbus.cli.commands.token import token
from agentbus.cli.commands.version import show_version
from agentbus.cli.commands.worker import worker

app = typer.Typer(
    name="agentbus",
    help="The message bus that AI agents run on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo)
app.command("serve")(serve)
app.command("pub")(publish)
app.command("send")(send)
app.command("sub")(subscribe)
app.command("peers")(peers)
app.command("worker")(worker)
app.add_typer(queue, name="queue")
app.add_typer(jobs, name="jobs")
app.add_typer(schedules, name="schedules")
app.command("token")(token)
app.add_typer(keys, name="keys")
app.command("doctor")(doctor)
app.command("version")(show_version)
