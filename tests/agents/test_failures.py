from __future__ import annotations

import inspect

import msgspec
import pytest

from agentbus import errors
from agentbus.agents.failures import Failure, declare_error, describe, rebuild
from agentbus.errors import AgentError, AgentFailed, BodyTooLargeError, MailboxFullError, NoSuchAgentError
from agentbus.runtime import CellGoneError


class NotFoundError(Exception):
    pass


class NeedsMoreError(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__("text only")


declare_error(NotFoundError)
declare_error(NeedsMoreError)


def travel(failure: Failure) -> Exception:
    return rebuild(msgspec.json.decode(msgspec.json.encode(failure), type=Failure))


@pytest.mark.parametrize(
    "error",
    [
        NoSuchAgentError("ns/n/a"),
        AgentFailed("ValueError", "no"),
        BodyTooLargeError(9, 8),
        MailboxFullError(3),
        errors.AgentRestarted("why"),
        errors.AskTimeoutError("late"),
    ],
)
def test_own_errors_arrive_with_their_fields(error: Exception) -> None:
    arrived = travel(describe(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_an_error_of_the_runtime_arrives_as_the_one_that_it_refines() -> None:
    arrived = travel(describe(CellGoneError("sim/carol/worker has stopped")))
    assert type(arrived) is errors.AgentStopped
    assert str(arrived) == "sim/carol/worker has stopped"


def test_a_stranger_s_error_is_a_failure_of_the_agent_whatever_it_refines() -> None:
    class Gone(errors.AgentStopped):
        pass

    assert type(travel(describe(Gone("x")))) is AgentFailed


def test_every_agent_error_is_known() -> None:
    for cls in vars(errors).values():
        if inspect.isclass(cls) and issubclass(cls, AgentError):
            assert type(rebuild(Failure(cls.__name__, "text"))) is cls


def test_a_declared_error_arrives_as_itself() -> None:
    arrived = travel(describe(NotFoundError("key", 3), declared=True))
    assert type(arrived) is NotFoundError
    assert arrived.args == ("key", 3)


def test_a_declared_error_that_cannot_be_rebuilt_keeps_its_text() -> None:
    arrived = travel(describe(NeedsMoreError(1, 2), declared=True))
    assert isinstance(arrived, AgentFailed)
    assert arrived.error_message == "text only"


def test_an_unknown_class_is_never_looked_up() -> None:
    arrived = travel(Failure("declared", "text", origin="os:system", arguments=["true"]))
    assert isinstance(arrived, AgentFailed)
    assert arrived.error_type == "os:system"
    assert isinstance(travel(Failure("SystemExit", "x")), AgentFailed)


def test_other_exceptions_become_agent_failed() -> None:
    arrived = travel(describe(ValueError("bad value")))
    assert isinstance(arrived, AgentFailed)
    assert (arrived.error_type, arrived.error_message) == ("ValueError", "bad value")


def test_texts_are_bounded_and_arguments_always_encodable() -> None:
    failure = describe(NotFoundError(object(), "x" * 10_000), declared=True)
    assert len(failure.text) <= 4000
    assert all(isinstance(value, str) for value in failure.arguments)
    msgspec.json.encode(failure)


def test_private_fields_of_a_hostile_failure_are_dropped() -> None:
    arrived = travel(Failure("AgentStopped", "x", {"__class__": "y", "_secret": 1, "kept": 2}))
    assert type(arrived) is errors.AgentStopped
    assert vars(arrived) == {"kept": 2}
