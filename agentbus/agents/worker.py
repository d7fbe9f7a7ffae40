"""A process that hosts one kind of agent: `run_worker`, or `python -m agentbus.agents.worker MODULE:CLASS`.

It joins the hub that its arguments or the environment name, and works until it gets SIGTERM or SIGINT, or
until the process that started it is gone: then its standard input, which that process holds open, ends.

    AGENTBUS_URL, AGENTBUS_KEY or AGENTBUS_TOKEN     the hub and the credential
    AGENTBUS_NAMESPACE, AGENTBUS_NODE                where it belongs, who it is
    AGENTBUS_TRUST                                   "all" or "tokens"
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from agentbus.agents.bus import Bus
from agentbus.agents.queues.fleet_plan import fleet_plan
from agentbus.agents.queues.serving import (
    ORPHANED,
    SIGNALLED,
    JobOptions,
    ProcessReport,
    Signals,
    say_over,
    serve_queue,
)
from agentbus.agents.spawning import SpawnOptions
from agentbus.agents.trust import TrustMode
from agentbus.client import TokenProvider
from agentbus.errors import AgentBusError, BusClosedError
from agentbus.runtime import Future

DRAIN_TIMEOUT = 5.0
"""Seconds that a worker gets to finish what is in its mailboxes."""

ENDED = "ended"


def load_target(target: str) -> type[Any]:
    """Import the class that `module:Class` names.

    Raises:
        ValueError: the text has another form, or there is no such class.
        ImportError: the module can't be imported.
    """
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        raise ValueError(f"a worker's target is MODULE:CLASS, not {target!r}")
    found: Any = importlib.import_module(module_name)
    for part in path.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, type):
        hint = ': does it stand behind `if __name__ == "__main__":`?' if module_name == "__main__" else ""
        raise ValueError(f"there is no class {path!r} in {module_name!r}{hint}")  # noqa: TRY004 -- of the text
    return found


def check_worker(target: str, jobs: JobOptions, name: str | None) -> str:
    """Refuse early what no process could work with; gives the workers' name.

    Raises:
        ValueError: see `load_target`; or options that don't go together.
        TypeError: the class can't take jobs.
        ImportError: the target's module can't be imported.
    """
    cls = load_target(target)
    found = name or cls.__name__.lower()
    fleet_plan(cls, (), {}, SpawnOptions(queue=jobs.queue, concurrency=jobs.concurrency), found)
    return found


def run_worker(
    target: str | type[Any],
    url: str,
    *,
    api_key: str | None = None,
    token_provider: TokenProvider | None = None,
    name: str | None = None,
    replicas: int = 1,
    namespace: str = "default",
    node: str | None = None,
    trust: TrustMode | None = None,
    follow_stdin: bool = False,
    jobs: JobOptions | None = None,
    say: Callable[[ProcessReport], object] | None = None,
) -> int:
    """Host an agent, or work for a queue, until SIGTERM or SIGINT; from the main thread.

    Args:
        target: the agent's class, or `module:Class`.
        url: the hub.
        api_key: a publishable key. This or `token_provider`.
        token_provider: gives a JWT.
        name: of the agent; by default its class's name.
        replicas: see `Bus.spawn`.
        namespace: see `Bus`.
        node: see `Bus`.
        trust: see `Bus`.
        follow_stdin: end when standard input does, and leave SIGINT to who holds its other end.
        jobs: take the jobs of a queue; a second signal hands back those that are being drained.
        say: with `jobs`, told now and then how the process is.

    Returns:
        The exit code: 0 after a signal, 1 if the hub, another holder of the node id or a failure ended it, 75
        at a limit of `jobs`.

    Raises:
        ValueError: the target, or the credentials, make no sense.
        ImportError: the target's module can't be imported.
    """
    try:
        cls = load_target(target) if isinstance(target, str) else target
        bus = Bus(
            url,
            api_key=api_key,
            token_provider=token_provider,
            namespace=namespace,
            node=node,
            trust=trust,
        )
    finally:
        del api_key  # a traceback shows the locals of this frame
    signals = Signals()
    _on_signals(signals, alone=not (follow_stdin and jobs))
    over = signals.over
    _end_with(bus, over, follow_stdin=follow_stdin)
    bus.start()
    name = name or cls.__name__.lower()
    with suppress(BusClosedError):  # the hub may have refused us already: then `_work` says so
        if jobs is None:
            bus.spawn(cls, name=name, replicas=replicas)
        else:
            return _work_for_queue(bus, cls, name, jobs, signals, say)
    return _work(bus, over)


def _end_with(bus: Bus, over: Future[str], *, follow_stdin: bool) -> None:
    """Let the bus's end, and that of standard input, end the work."""
    if follow_stdin:
        threading.Thread(target=_follow_stdin, args=(over,), name="agentbus-parent", daemon=True).start()
    bus.ended.add_done_callback(lambda _ended: over.try_set(ENDED))


def _work_for_queue(
    bus: Bus,
    cls: type[Any],
    name: str,
    jobs: JobOptions,
    signals: Signals,
    say: Callable[[ProcessReport], object] | None,
) -> int:
    worker = bus.spawn(
        cls,
        name=name,
        queue=jobs.queue,
        concurrency=jobs.concurrency,
        drain_timeout=jobs.drain_timeout,
    )
    code = serve_queue(bus, worker, jobs, signals, say)
    error = bus.ended.exception() if bus.ended.done() else None
    return code if error is None else _complain(str(error), 1)


def _on_signals(signals: Signals, *, alone: bool) -> None:
    signal.signal(signal.SIGTERM, signals.came)
    signal.signal(signal.SIGINT, signals.came if alone else signal.SIG_IGN)


def _follow_stdin(over: Future[str]) -> None:
    """Notice the end of the process that holds the other end."""
    while os.read(0, 4096):
        pass
    over.try_set(ORPHANED)


def _work(bus: Bus, over: Future[str]) -> int:
    reason = over.get()
    if reason == SIGNALLED:
        bus.drain(DRAIN_TIMEOUT).get()
        return 0
    error = bus.ended.exception() if bus.ended.done() else None
    bus.close().get(timeout=DRAIN_TIMEOUT)
    if reason == ENDED and error is not None:
        return _complain(str(error), 1)
    return 0


def _complain(problem: str, exit_code: int) -> int:
    print(f"agentbus worker: {problem}", file=sys.stderr)  # noqa: T201 -- a command's last word
    return exit_code


def main(arguments: list[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    """Run a worker as the command line and the environment say.

    Returns:
        See `run_worker`; 1 for any other error of ours; 2 if that makes no sense.
    """
    parser = argparse.ArgumentParser(prog="python -m agentbus.agents.worker")
    parser.add_argument("target", metavar="MODULE:CLASS")
    parser.add_argument("--name")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--follow-stdin", action="store_true", help="end when standard input does")
    parser.add_argument("--queue", help="take the jobs of this queue")
    parser.add_argument("--concurrency", type=int, default=1, help="jobs at a time")
    parser.add_argument("--drain-timeout", type=float, default=JobOptions(queue="").drain_timeout)
    parser.add_argument("--max-jobs", type=int, help="end with status 75 after so many")
    parser.add_argument("--max-memory", type=int, metavar="BYTES", help="end with status 75 at so much")
    parser.add_argument("--report-to", type=int, metavar="FD", help="say there how the worker is")
    given = parser.parse_args(arguments)
    try:
        return run_worker(
            given.target,
            environment["AGENTBUS_URL"],
            **_credentials(environment),
            name=given.name,
            replicas=given.replicas,
            namespace=environment.get("AGENTBUS_NAMESPACE", "default"),
            node=environment.get("AGENTBUS_NODE"),
            trust=cast("TrustMode | None", environment.get("AGENTBUS_TRUST")),
            follow_stdin=given.follow_stdin,
            jobs=_jobs(given),
            say=None if given.report_to is None else say_over(given.report_to),
        )
    except (KeyError, ValueError, ImportError, TypeError) as error:
        problem = f"{error} is not set" if isinstance(error, KeyError) else str(error)
        return _complain(problem, 2)
    except AgentBusError as error:
        return _complain(str(error), 1)


def _jobs(given: argparse.Namespace) -> JobOptions | None:
    if given.queue is None:
        return None
    return JobOptions(
        queue=given.queue,
        concurrency=given.concurrency,
        drain_timeout=given.drain_timeout,
        max_jobs=given.max_jobs,
        max_memory=given.max_memory,
    )


def _credentials(environment: Mapping[str, str]) -> dict[str, Any]:
    token = environment.get("AGENTBUS_TOKEN")
    if token is not None:
        return {"token_provider": lambda: token}
    return {"api_key": environment["AGENTBUS_KEY"]}


if __name__ == "__main__":
    sys.exit(main())
