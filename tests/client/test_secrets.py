"""Spec section 7, *secrets*: key, token and URL are in no log, repr, pickle, traceback or event."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest

from agentbus.client import (
    DisconnectedEvent,
    ReconnectOptions,
    ServerErrorEvent,
    SignallingClient,
    SignallingClientOptions,
    TokenProviderErrorEvent,
)
from agentbus.client.listeners import KINDS
from agentbus.client.payloads import Event
from agentbus.errors import AgentBusError, InvalidUrlError, TokenProviderError
from agentbus.wire import Reject
from tests.client.world import Session, World, on_virtual_time, outcome

SECRET = "pk_live_open/sesame+0123456789=="
FORMS = (SECRET, quote(SECRET, safe=""), quote(SECRET))
STEADY = ReconnectOptions(initial_delay=1.0, multiplier=1.0, jitter_ratio=0.0)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    for name in ("", "agentbus.client", "agentbus.wire", "agentbus.runtime", "asyncio", "websockets"):
        caplog.set_level(1, logger=name)

    def text() -> str:
        shown = [str(vars(record)) + record.getMessage() + str(record.exc_text) for record in caplog.records]
        return caplog.text + "".join(shown)

    yield text
    assert_clean(text())


def assert_clean(*texts: str) -> None:
    for text in texts:
        for form in FORMS:
            assert form not in text


def everything_about(error: BaseException) -> str:
    """Say all that a thorough report of an exception says, locals of every frame included."""
    chain = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(chain.format()) + repr(error) + str(vars(error)) + str(pickled(error))


def pickled(thing: Any) -> bytes:
    try:
        return pickle.dumps(thing)
    except Exception:  # noqa: BLE001 -- what can't be pickled carries nothing along
        return b""


def failure_of(fn: Callable[[], object]) -> BaseException:
    try:
        fn()
    except Exception as error:  # noqa: BLE001 -- the outcome is what a test looks at
        return error
    pytest.fail("it did not fail")


# -- what holds the secret -----------------------------------------------------------------------------------


def test_objects_show_nothing_and_are_not_pickled(world_less_client: SignallingClient) -> None:
    options = SignallingClientOptions(api_key=SECRET)
    for thing in (options, options.api_key, world_less_client, world_less_client.options):
        assert_clean(repr(thing), str(thing), f"{thing}", str(pickled(thing)), str(pickled([thing])))
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    assert_clean(str({name: getattr(options, name) for name in options.__struct_fields__}))
    assert_clean(str(vars(world_less_client)))


@pytest.fixture
def world_less_client() -> SignallingClient:
    return SignallingClient(api_key=SECRET)


def test_options_can_be_compared_and_copied() -> None:
    options = SignallingClientOptions(api_key=SECRET)
    assert options == SignallingClientOptions(api_key=SECRET)
    assert options != SignallingClientOptions(api_key="pk_live_other")
    assert copy.copy(options) == options
    assert hash(options) == hash(SignallingClientOptions(api_key=SECRET))


def test_a_provider_with_a_secret_inside_shows_nothing() -> None:
    def mint(secret: str) -> str:
        return secret

    options = SignallingClientOptions(token_provider=functools.partial(mint, SECRET))
    assert_clean(repr(options))


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": SECRET, "token_provider": str},
        {"api_key": SECRET, "url": "ftp://hub.example"},
        {"api_key": SECRET, "url": f"wss://user:{SECRET}@hub.example"},
        {"token_provider": str, "url": f"wss://hub.example/v1?key={SECRET}"},
        {"api_key": SECRET.encode()},
        {"api_key": SECRET, "inactivity_timeout": -1},
        {"api_key": SECRET, "no_such_option": 1},
        {"url": SECRET},
        {"token_provider": SECRET},
        {"api_key": "pk_live_x", "token_provider": SECRET},
        {"api_key": SECRET, "token_provider": str, "url": f"wss://hub.example/v1?key={SECRET}"},
    ],
)
def test_constructors_that_refuse(fields: dict[str, Any]) -> None:
    error = failure_of(functools.partial(SignallingClient, **fields))
    given = fields.copy()
    fields.clear()
    shown = everything_about(error.with_traceback(_inner(error)))
    assert_clean(shown)
    again = failure_of(functools.partial(SignallingClientOptions, **given))
    assert_clean(everything_about(again.with_traceback(_inner(again))))


def test_a_key_in_the_wrong_place() -> None:
    client: Any = SignallingClient
    error = failure_of(functools.partial(client, SECRET))
    assert isinstance(error, TypeError)
    assert "api_key=" in str(error)
    assert_clean(everything_about(error.with_traceback(_inner(error))))


def _inner(error: BaseException) -> Any:
    """Give the traceback below the test's own frames, which know the secret."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    return trace


# -- a hub that tells what it was told -----------------------------------------------------------------------


@on_virtual_time
@pytest.mark.parametrize("status", [400, 401, 403, 429, 503])
async def test_http_refusals(world: World, logged: Callable[[], str], status: int) -> None:
    text = f"no such key {SECRET} {quote(SECRET, safe='')}"
    world.hub.on_request = lambda _session: Reject(status, {"X-Echo": text}, text)
    await check_failed_connect(world, world.client(api_key=SECRET))
    assert_clean(logged())


@on_virtual_time
async def test_a_refused_dial(world: World, logged: Callable[[], str]) -> None:
    world.hub.refuse_connections()
    await check_failed_connect(world, world.client(api_key=SECRET))
    assert_clean(logged())


@on_virtual_time
async def test_no_welcome_in_time(world: World, logged: Callable[[], str]) -> None:
    world.hub.on_open = lambda _session: None
    await check_failed_connect(world, world.client(api_key=SECRET))
    assert_clean(logged())


@on_virtual_time
@pytest.mark.parametrize("code", [4001, 1011])
async def test_close_reasons(world: World, logged: Callable[[], str], code: int) -> None:
    world.hub.on_open = lambda session: session.close(code, f"bad key {SECRET} {quote(SECRET, safe='')}")
    await check_failed_connect(world, world.client(api_key=SECRET))
    assert_clean(logged())


async def check_failed_connect(world: World, client: SignallingClient) -> None:
    seen = collect_all(world, client)
    error = await outcome(client.connect())
    await world.settle()
    assert isinstance(error, AgentBusError)
    assert_clean(everything_about(error), repr(client))
    assert any(isinstance(event, DisconnectedEvent) for event in seen)
    for event in seen:
        assert_clean(repr(event), str(pickled(event)))


def collect_all(world: World, client: SignallingClient) -> list[Event]:
    return world.collect(client, *KINDS)


@on_virtual_time
async def test_error_frames_and_garbage(world: World, logged: Callable[[], str]) -> None:
    client = await world.connected(api_key=SECRET)
    seen = collect_all(world, client)
    session = world.hub.last
    session.send(type="error", code="internal_error", message=f"key was {SECRET}")
    session.connection.send_text(f'{{"type": "{SECRET}"}}'.encode())
    session.connection.send_text(SECRET.encode())
    world.hub.on_frame = lambda session, frame: session.refuse(frame, "backend_error", f"key {SECRET}")
    error = await outcome(client.publish("room", 1))
    await world.settle()
    assert_clean(everything_about(error), *(repr(event) for event in seen))
    assert any(isinstance(event, ServerErrorEvent) for event in seen)
    assert_clean(logged())


# -- token providers -----------------------------------------------------------------------------------------


def sync_failing() -> str:
    token = SECRET
    raise RuntimeError(f"a mint of {len(token)} characters is closed")


def sync_chained() -> str:
    token = SECRET
    try:
        sync_failing()
    except RuntimeError as error:
        raise ExceptionGroup("several", [error, ValueError(len(token))]) from error
    return token


async def async_failing() -> str:
    token = SECRET
    await asyncio.sleep(0)
    raise RuntimeError(f"a mint of {len(token)} characters is closed")


def bytes_for_text() -> Any:
    return SECRET.encode()


def list_for_text() -> Any:
    return [SECRET]


@on_virtual_time
@pytest.mark.parametrize(
    "provider", [sync_failing, sync_chained, async_failing, bytes_for_text, list_for_text]
)
async def test_token_providers_that_fail(
    world: World, logged: Callable[[], str], provider: Callable[[], Any]
) -> None:
    await check_failed_connect(world, world.client(token_provider=provider))
    assert_clean(logged())


@on_virtual_time
async def test_a_failing_provider_s_line_is_named(world: World) -> None:
    error = await outcome(world.client(token_provider=sync_failing).connect())
    assert isinstance(error, TokenProviderError)
    assert "RuntimeError (test_secrets.py:" in str(error)
    assert "in sync_failing" in str(error)
    assert isinstance(error.__cause__, RuntimeError)


@on_virtual_time
async def test_tokens_of_later_attempts(world: World, logged: Callable[[], str]) -> None:
    answers: list[Any] = [SECRET, SECRET.encode(), None, RuntimeError("closed"), SECRET]

    def provider() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = world.client(token_provider=provider, reconnect=STEADY)
    seen = collect_all(world, client)
    await client.connect()
    world.hub.last.close(4002, f"expired: {SECRET}")
    await world.sleep(10.0)
    assert any(isinstance(event, TokenProviderErrorEvent) for event in seen)
    assert len(world.hub.sessions) == 2
    for event in seen:
        error = getattr(event, "error", None)
        assert_clean(repr(event), str(pickled(event)), everything_about(error) if error else "")
    assert_clean(logged())


@on_virtual_time
async def test_the_token_does_reach_the_hub(world: World) -> None:
    sessions: list[Session] = world.hub.sessions
    await world.connected(token_provider=lambda: SECRET)
    assert sessions[0].query == {"token": [SECRET]}
    await world.connected(api_key=SECRET)
    assert sessions[1].query == {"key": [SECRET]}


def test_a_refused_url_is_not_repeated() -> None:
    with pytest.raises(InvalidUrlError) as caught:
        SignallingClientOptions(api_key="pk", url=f"wss://hub.example/?{SECRET}")
    assert_clean(str(caught.value), repr(caught.value))
