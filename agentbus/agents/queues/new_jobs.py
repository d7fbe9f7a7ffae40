"""What is put: a message with how it is to be treated, or a flow of such; and the `NewJob` made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any

import msgspec

from agentbus.agents.budgets.account import BudgetAccount
from agentbus.agents.budgets.budget import Budget
from agentbus.agents.budgets.wire import Grant, grant_of
from agentbus.agents.envelope import encode_body
from agentbus.agents.failures import encodable
from agentbus.agents.message import Message
from agentbus.agents.queues.core.job import FlowKind, NewJob
from agentbus.agents.scope import Scope


class JobOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a job is to be treated; see `NewJob` and `Queue.put`."""

    priority: int = 0
    delay: float = 0.0
    unique: str | None = None
    key: str | None = None
    tenant: str = ""
    max_attempts: int | None = None
    soft_timeout: float | None = None
    hard_timeout: float | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            TypeError: an option has another type than it should.
            ValueError: see above.
        """
        for name, (kinds, example) in _KINDS.items():
            value = getattr(self, name)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise TypeError(f"{name}= of a job is {example}, not {value!r}")
        if not 0 <= self.delay < float("inf"):
            raise ValueError(f"a delay is seconds from now, not {self.delay}")
        for text in (self.unique, self.key, self.tenant):
            if text is not None and encodable(text) != text:
                raise ValueError(f"{text!r} has characters that can't be sent")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError(f"a job has at least one attempt, not {self.max_attempts}")
        for limit in (self.soft_timeout, self.hard_timeout):
            if limit is not None and not limit > 0:
                raise ValueError(f"a time limit is more than 0 seconds, not {limit}")


_TEXT_OR_NONE = (str, NoneType)
_SECONDS_OR_NONE = (int, float, NoneType)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "priority": ((int,), "a whole number, higher goes first"),
    "delay": ((int, float), "a number of seconds"),
    "unique": (_TEXT_OR_NONE, "a text"),
    "key": (_TEXT_OR_NONE, "a text"),
    "tenant": ((str,), "a text"),
    "max_attempts": ((int, NoneType), "a whole number"),
    "soft_timeout": (_SECONDS_OR_NONE, "a number of seconds"),
    "hard_timeout": (_SECONDS_OR_NONE, "a number of seconds"),
}


class Job(msgspec.Struct, frozen=True):
    """A message that is to be a job, with options of its own; made by `job`."""

    message: Message
    options: JobOptions


class RawJob(msgspec.Struct, frozen=True):
    """A message by its wire name and its JSON, with options of its own; made by `raw_job`."""

    type: str
    version: int
    body: msgspec.Raw
    options: JobOptions


class Flow(msgspec.Struct, frozen=True):
    """Jobs that hang together; made by `chain`, `group` or `map_jobs`, and put like a message."""

    kind: FlowKind
    steps: tuple[Message | Job | RawJob | Flow, ...]
    window: int = 0


Step = Message | Job | RawJob | Flow


def job(message: Message, **options: Any) -> Job:
    """Give a step of a flow options of its own.

    Args:
        message: of the job.
        options: see `Queue.put`; `budget` and `timeout` are the flow's.

    Raises:
        TypeError: it is no message, or there is no such option.
        ValueError: an option makes no sense.
    """
    return Job(_checked(message), JobOptions(**options))


def raw_job(kind: str, body: bytes | msgspec.Raw, *, version: int = 1, **options: Any) -> RawJob:
    """Put a message whose class this process has not, say for a command line or a gateway.

    Args:
        kind: the message's wire name: that of its class, if that sets no other.
        body: its JSON.
        version: its wire version.
        options: as for `job`.

    Raises:
        TypeError: there is no such option.
        ValueError: that is no JSON, no name is given, or an option makes no sense.
    """
    if not kind:
        raise ValueError("a message has a name")
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(f"the message is no JSON: {error}") from None
    return RawJob(kind, version, msgspec.Raw(body), JobOptions(**options))


def chain(*steps: Step) -> Flow:
    """Make a flow of steps that follow one another; each gets what the one before gave as `self.job.inputs`.

    It gives what the last one gives. A step that fails for good ends it.

    Raises:
        ValueError: there is no step.
    """
    return _flow("chain", steps)


def group(*steps: Step) -> Flow:
    """Make a flow of steps that begin together; it gives the list of what they give, in their order.

    A step that fails for good ends it, and cancels the others.

    Raises:
        ValueError: there is no step.
    """
    return _flow("group", steps)


def map_jobs(steps: Iterable[Step], *, window: int) -> Flow:
    """Make a group of which only so many steps are under way at a time.

    Args:
        steps: see `group`.
        window: how many, at least 1.

    Raises:
        ValueError: there is no step, or the window is below 1.
    """
    if window < 1:
        raise ValueError(f"at least one step is under way at a time, not {window}")
    return _flow("map", tuple(steps), window)


def _flow(kind: FlowKind, steps: tuple[Step, ...], window: int = 0) -> Flow:
    if not steps:
        raise ValueError(f"a {kind} has at least one step")
    for step in steps:
        if not isinstance(step, Job | RawJob | Flow):
            _checked(step)
    return Flow(kind, steps, window)


def _checked(message: object) -> Message:
    if not isinstance(message, Message):
        raise TypeError(f"a job is a Message or a flow of some, not {type(message).__qualname__}")
    return message


def new_job(
    what: Step, options: JobOptions, new_id: Callable[[], str], budget: Grant | None = None
) -> NewJob:
    """Make what is sent to the queue.

    Args:
        what: a message or a flow. Steps inherit no options, only the tenant and the priority where they have
            none of their own.
        options: of the job or the whole flow.
        new_id: makes ids.
        budget: of it.

    Raises:
        TypeError: it is neither, or has no JSON form.
    """
    if isinstance(what, Job):
        return new_job(what.message, _within(options, what.options), new_id, budget)
    given = {name: getattr(options, name) for name in JobOptions.__struct_fields__}
    if isinstance(what, Flow):
        inner = JobOptions(priority=options.priority, tenant=options.tenant)
        steps = tuple(new_job(step, inner, new_id) for step in what.steps)
        return NewJob(new_id(), **given, budget=budget, flow=what.kind, steps=steps, window=what.window)
    if isinstance(what, RawJob):
        within = msgspec.structs.asdict(_within(options, what.options))
        return NewJob(new_id(), what.type, what.version, what.body, **within, budget=budget)
    message = _checked(what)
    name, version, body = message.__wire_name__, message.__wire_version__, encode_body(message)
    return NewJob(new_id(), name, version, body, **given, budget=budget)


def _within(outer: JobOptions, own: JobOptions) -> JobOptions:
    """Give a step's own options, and the flow's priority and tenant where it has none."""
    return msgspec.structs.replace(
        own, priority=own.priority or outer.priority, tenant=own.tenant or outer.tenant
    )


def granted(budget: Budget | None, scope: Scope | None, now: float) -> Grant | None:
    """Take a job's budget out of that of the handler that puts it, for good.

    Args:
        budget: the job's; None for none.
        scope: what puts it.
        now: the time.

    Raises:
        BudgetExhausted: there is not so much left.
    """
    if budget is None:
        return None
    payer = None if scope is None else scope.account
    account = (payer or BudgetAccount()).open(budget, now)
    account.settle(None)
    wall = None if account.wall_at is None else account.wall_at - now
    return msgspec.structs.replace(grant_of(account, None), wall=wall)
