"""How an agent is started: what `spawn` may be told, and what follows from the agent's class."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, cast

import msgspec

from agentbus.agents.agent import Agent, AsyncAgentActor
from agentbus.agents.directory import MetadataValue
from agentbus.agents.lives.stall_watch import OnStall, check_on_stall
from agentbus.agents.lives.stalls import Stalls
from agentbus.agents.lives.store import Store
from agentbus.runtime import MailboxOptions, RestartMode, RestartPolicy
from agentbus.runtime.cell_group import CellGroup

DEFAULT_MAILBOX = MailboxOptions(capacity=100_000)
ROOT_POLICY = RestartPolicy(mode=RestartMode.STOP)
REPLICA_POLICY = RestartPolicy(mode=RestartMode.RESTART)


_KINDS: dict[str, tuple[type | UnionType, str]] = {
    "name": (str, "a text"),
    "replicas": (int, "a whole number"),
    "supervision": (RestartPolicy, "a RestartPolicy, say RestartPolicy(mode=RestartMode.RESTART)"),
    "group": (CellGroup, "what bus.group(…) gives"),
    "mailbox": (MailboxOptions, "MailboxOptions(…)"),
    "stall_timeout": (int | float, "a number of seconds"),
    "metadata": (Mapping, "a dictionary"),
}


class SpawnOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent is started.

    Attributes:
        name: on its node; None for a fresh one.
        replicas: how many of it share the name; messages go round.
        supervision: what follows a failure; by default a root stops and replicas restart, 5 times in 60 s.
        group: whose fate it shares, and whose policy it has instead of one of its own; see `Bus.group`.
        mailbox: how much it holds, and what happens beyond.
        detached: for children: outlive the parent's restarts and end.
        stall_timeout: seconds that it may be busy with one message without a mark of progress; None = its
            class says.
        on_stall: "report" or "restart"; None = its class says.
        store: keeps its state; see `Agent.snapshot`.
        process: whether it runs in a child process.
        metadata: facts to be found by, in addition to those of the class.
        address: where everyone but this node reaches it; None = here. One that is reached elsewhere is listed
            there.
        queue: name of the queue whose jobs it takes; None for an agent that takes messages only.
        concurrency: with a queue, jobs that it takes at a time; else messages, instead of its class's.
        drain_timeout: seconds that jobs get to end before they are handed back; None = 30.
        takes_jobs: whether a puller hands it jobs.
    """

    name: str | None = None
    replicas: int = 1
    supervision: RestartPolicy | None = None
    group: CellGroup | None = None
    mailbox: MailboxOptions | None = None
    detached: bool = False
    stall_timeout: float | None = None
    on_stall: OnStall | None = None
    store: Store | None = None
    process: bool = False
    metadata: Mapping[str, MetadataValue] | None = None
    address: str | None = None
    queue: str | None = None
    concurrency: int | None = None
    drain_timeout: float | None = None
    takes_jobs: bool = False

    @staticmethod
    def split(given: dict[str, Any]) -> tuple[SpawnOptions, dict[str, Any]]:
        """Tell the options among keyword arguments from those for the constructor."""
        names = set(SpawnOptions.__struct_fields__)
        rest = {name: value for name, value in given.items() if name not in names}
        return SpawnOptions(**{name: value for name, value in given.items() if name in names}), rest

    def stall_rule(self, cls: type[Any]) -> tuple[float | None, OnStall]:
        """Give the time-out and what follows it, for an agent of a class; no time-out, no watch."""
        timeout = getattr(cls, "stall_timeout", None) if self.stall_timeout is None else self.stall_timeout
        return timeout, self.on_stall or cast("OnStall", getattr(cls, "on_stall", "report"))

    def policy(self, cls: type[Any]) -> RestartPolicy:
        """Give what follows a failure, for an agent of a class."""
        if self.group is not None:
            return self.group.policy
        timeout, on_stall = self.stall_rule(cls)
        restarts = self.replicas > 1 or (timeout is not None and on_stall == "restart")
        return self.supervision or (REPLICA_POLICY if restarts else ROOT_POLICY)

    def check(self, cls: type[Any]) -> None:
        """Refuse what does not go together.

        Raises:
            ValueError: see above.
            TypeError: an option of the wrong kind; a plain pykka actor, which can be neither watched nor
                stored nor moved; an agent with a store that does not say how its state is kept.
        """
        self._check_kinds()
        if self.replicas < 1:
            raise ValueError(f"there is at least one replica, not {self.replicas}")
        if self.group is not None and self.supervision is not None:
            raise ValueError("a member has its group's policy: give group= or supervision=, not both")
        if self.concurrency is not None and self.queue is None and not issubclass(cls, AsyncAgentActor):
            raise ValueError("one thread handles one message at a time: concurrency= is for AsyncAgentActor")
        if self.concurrency is not None and self.concurrency < 1:
            raise ValueError(f"concurrency is at least 1, not {self.concurrency}")
        timeout, on_stall = self.stall_rule(cls)
        check_on_stall(on_stall)
        if timeout is not None:
            Stalls(timeout)
        self._check_store(cls)
        layered = timeout is not None or self.store is not None or self.process
        if layered and not issubclass(cls, Agent):
            raise TypeError(f"{cls.__qualname__} is a pykka actor: no stall_timeout=, store= or process=")

    def _check_kinds(self) -> None:
        for name, (kind, example) in _KINDS.items():
            value = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                raise TypeError(f"spawn(…, {name}=…) takes {example}, not {value!r}")

    def _check_store(self, cls: type[Any]) -> None:
        if self.store is None:
            return
        if self.name is None:
            raise ValueError("a stored agent is found again by its name: give it one with name=")
        if issubclass(cls, Agent):
            missing = [name for name in ("snapshot", "restore") if getattr(cls, name) is getattr(Agent, name)]
            if missing:
                wanted = " and ".join(f"{name}()" for name in missing)
                raise TypeError(f"{cls.__qualname__} has a store, so it needs {wanted}: see `Agent.snapshot`")
        if issubclass(cls, AsyncAgentActor) and (cls.concurrency > 1 or cls.reentrant):
            raise ValueError("a stored agent handles one message at a time: what it stores is whole then")
