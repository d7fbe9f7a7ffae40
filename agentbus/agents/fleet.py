"""A supervised fleet of worker processes: started, watched, restarted by a policy, stopped together.

Each child is a process of its own (spawned, never forked) that runs `agentbus.agents.worker`. Its exit is a
death certificate for its node: everybody knows at once, and nobody waits for a time-out. If this process
dies, the children's standard input ends, and they go too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any

from agentbus.agents.bus import Bus
from agentbus.agents.fleet_actor import FleetActor, FleetRules, Launched, WorkerProcess
from agentbus.agents.processes.spec import importable_name
from agentbus.errors import ActorStoppedError
from agentbus.runtime import Backoff, Future, RestartMode, RestartPolicy, StartOptions

FLEET_POLICY = RestartPolicy(
    mode=RestartMode.RESTART, intensity=5, period=60.0, backoff=Backoff(initial_delay=0.1, max_delay=5.0)
)


class ProcessFleet:
    """Worker processes of one kind, started at once.

    Args:
        bus: whose hub they join; it must listen, unless `environment` says where else.
        target: the agent's class, importable by its module's name, or `module:Class`.
        count: processes.
        name: of the agents, and prefix of the node ids; by default the class's name.
        replicas: agents per process.
        policy: what follows an exit; by default a restart, 5 in 60 s.
        environment: variables for the children on top of this process's own; by default those of the bus's
            hub.

    Raises:
        ValueError: a class that a child could not import, or no process at all.
        AgentBusError: the bus does not let other processes in.
    """

    def __init__(
        self,
        bus: Bus,
        target: str | type[Any],
        count: int,
        *,
        name: str | None = None,
        replicas: int = 1,
        policy: RestartPolicy = FLEET_POLICY,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"a fleet has at least one process, not {count}")
        path = target if isinstance(target, str) else importable_name(target)
        self.name = name or path.rpartition(":")[2].rpartition(".")[2].lower()
        given = bus.credentials_env() if environment is None else dict(environment)
        command = [sys.executable, "-m", "agentbus.agents.worker", path, "--follow-stdin"]
        command += ["--name", self.name, "--replicas", str(replicas)]
        self._view: dict[int, WorkerProcess] = {}
        launch = partial(_launch, command, given)
        options = StartOptions(runtime=bus.runtime, loop=bus.runtime.io, name=f"fleet {self.name}")
        prefix = f"{self.name}-{bus.runtime.new_id()[:6]}"
        self._actor = FleetActor.start_with(
            options,
            prefix,
            count,
            FleetRules(policy=policy),
            launch,
            bus.report,
            bus.certify_exit,
            self._view,
        )
        bus.before_close(lambda _timeout: self.stop())

    @property
    def processes(self) -> list[WorkerProcess]:
        """The processes that run now."""
        return sorted(self._view.values(), key=lambda process: process.place)

    def stop(self) -> Future[None]:
        """End all processes: SIGTERM, and SIGKILL 6 s later; the future is done when all are gone."""
        done: Future[None] = Future()
        try:
            self._actor.tell(FleetActor.Stop(done))
        except ActorStoppedError:
            done.set(None)
        return done


def _launch(command: list[str], environment: Mapping[str, str], _place: int, node: str) -> Launched:
    variables = {**os.environ, **environment, "AGENTBUS_NODE": node}
    process = subprocess.Popen(  # noqa: S603 -- our own interpreter
        command,
        stdin=subprocess.PIPE,
        env=variables,
        process_group=0,  # a Ctrl-C is the parent's, who ends its children; they might still be importing
    )
    return Launched(process)
