from __future__ import annotations

import inspect

import msgspec
import pytest

from agentbus import errors
from agentbus.agents import AsyncAgentActor, Request, handles
from agentbus.agents.failures import Failure, declare_error, describe, rebuild
from agentbus.errors import AgentError, AgentFailed, BodyTooLargeError, MailboxFullError, NoSuchAgentError
from agentbus.runtime import CellGoneError
from tests.agents.cluster import Cluster, simulate


class NotFoundError(Exception):
    pass


class NeedsMoreError(Exception):
    def __init__(self, a: int, b: int) -> None:
        super().__init__("text only")


class OverdrawnError(AgentError):
    """A program's own error below ours."""

    def __init__(self, account: str, missing: int) -> None:
        super().__init__(account, missing)
        self.account = account
        self.missing = missing


class TooLateToPayError(errors.AskTimeoutError):
    pass


class Withdraw(Request[int]):
    amount: int


class Teller(AsyncAgentActor):
    @handles(raises=(OverdrawnError, TooLateToPayError))
    async def withdraw(self, message: Withdraw) -> int:
        if message.amount == 0:
            raise TooLateToPayError("closed")
        if message.amount < 0:
            raise errors.HopLimitError(3)
        raise OverdrawnError("savings", message.amount)


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


def test_a_declared_error_that_refines_one_of_ours_arrives_as_itself_from_another_node() -> None:
    async def scenario(cluster: Cluster) -> None:
        one, two = await cluster.join("one", "two")
        one.spawn(Teller, name="teller")
        ref = two.ref("one/teller")
        with pytest.raises(OverdrawnError) as caught:
            await ref.ask(Withdraw(5))
        assert (caught.value.account, caught.value.missing) == ("savings", 5)
        with pytest.raises(TooLateToPayError, match="closed"):
            await ref.ask(Withdraw(0))
        with pytest.raises(AgentFailed, match="HopLimitError"):  # not declared: the agent has failed
            await ref.ask(Withdraw(-1))

    simulate(scenario)


def test_one_of_ours_arrives_as_itself_though_a_handler_may_have_declared_it() -> None:
    arrived = travel(describe(errors.BudgetExhausted("tokens", 5, 3), declared=True))
    assert isinstance(arrived, errors.BudgetExhausted)
    assert (arrived.wanted, arrived.left) == (5, 3)


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
