"""The document that describes the control plane is valid, and says what is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from agentbus.hub.core.control_bodies import PublishBody, TokenBody
from agentbus.hub.server.rest.openapi import document
from agentbus.hub.server.rest.paths import OPERATIONS
from agentbus.runtime.virtual import VirtualLoop
from tests.hub.server.rest.door import APP, SECRET, Door, Response

DOCUMENT = document()
ROOMS = f"sk_id_rooms:{SECRET}"
EMPTY_QUOTA = msgspec.structs.replace(APP, max_messages_per_period=1)
SUSPENDED = msgspec.structs.replace(APP, suspended=True)

REQUESTS: dict[str, tuple[str, str, Any]] = {
    "mint_token": ("POST", "/v1/tokens", {"peerId": "a", "channels": ["rooms/*"], "permissions": ["send"]}),
    "list_peers": ("GET", "/v1/channels/rooms%2Fa/peers", None),
    "publish": ("POST", "/v1/channels/rooms%2Fa/publish", {"data": None, "from": "me", "peerMetadata": {}}),
    "kick": ("DELETE", "/v1/peers/peer-1", None),
    "usage": ("GET", "/v1/usage", None),
}
REFUSED: dict[tuple[str, int], tuple[str, str, Any]] = {
    ("mint_token", 400): ("POST", "/v1/tokens", {}),
    ("list_peers", 400): ("GET", "/v1/channels/_system%2Fx/peers", None),
    ("publish", 400): ("POST", "/v1/channels/rooms%2Fa/publish", {}),
    ("kick", 400): ("DELETE", "/v1/peers/%0A", None),
    ("mint_token", 403): ("POST", "/v1/tokens", {"peerId": "a", "channels": ["**"]}),
    ("list_peers", 403): ("GET", "/v1/channels/a/peers", None),
    ("publish", 403): ("POST", "/v1/channels/a/publish", {"data": 1}),
    ("mint_token", 413): ("POST", "/v1/tokens", b" " * 40_000),
    ("publish", 413): ("POST", "/v1/channels/a/publish", b" " * 40_000),
}


@pytest.fixture
def loop() -> Iterator[VirtualLoop]:
    with VirtualLoop() as loop:
        yield loop


def documented() -> dict[tuple[str, int], Any]:
    """Each answer that the document names, with its schema."""
    found: dict[tuple[str, int], Any] = {}
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            for status, named in operation["responses"].items():
                shared = DOCUMENT["components"]["responses"].get(named.get("$ref", "").rpartition("/")[2])
                answer = shared or named
                found[operation["operationId"], int(status)] = answer["content"]["application/json"]["schema"]
    return found


ANSWERS = documented()


def fits(value: Any, schema: dict[str, Any]) -> bool:
    whole = {**schema, "components": DOCUMENT["components"]}
    return OAS31Validator(whole).is_valid(value)


def get(loop: VirtualLoop, name: str, status: int) -> Response:
    """Have an answer of that status given."""
    door = Door(
        loop, SUSPENDED if (name, status) == ("kick", 403) else APP, connects_per_minute_per_address=1
    )
    door.connect("rooms/a")
    if (name, status) in REFUSED:
        return door.ask(*REFUSED[name, status], pair=ROOMS)
    if status == 503:
        door.shell.hub.shutdown(door.shell.now(), retry_after=1)
    if status in {401, 429}:
        first = door.ask(*REQUESTS[name], pair="x:y")
        return first if status == 401 else door.ask(*REQUESTS[name])
    return door.ask(*REQUESTS[name], pair=ROOMS)


def test_the_document_is_valid_openapi_3_1() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_it_is_served_to_everybody(loop: VirtualLoop) -> None:
    answer = Door(loop).ask("GET", "/v1/openapi.json", pair="")
    assert (answer.status, answer.headers["content-type"], answer.json) == (200, "application/json", DOCUMENT)


def test_it_describes_the_calls_that_there_are() -> None:
    described = {(path, method) for path, operations in DOCUMENT["paths"].items() for method in operations}
    assert described == {(operation.template, operation.method.lower()) for operation in OPERATIONS}


@pytest.mark.parametrize(("name", "status"), ANSWERS)
def test_each_answer_that_it_names_is_given_in_its_shape(loop: VirtualLoop, name: str, status: int) -> None:
    answer = get(loop, name, status)
    assert answer.status == status, answer.body
    assert fits(answer.json, ANSWERS[name, status]), answer.json
    assert not fits({"something": "else"}, ANSWERS[name, status])


def test_a_used_up_quota_is_named_too(loop: VirtualLoop) -> None:
    door = Door(loop, EMPTY_QUOTA)
    answers = [door.ask(*REQUESTS["publish"]) for _ in range(2)]
    assert answers[1].error == (429, "over_message_quota")
    assert fits(answers[1].json, ANSWERS["publish", 429])


@pytest.mark.parametrize(("name", "body"), [("TokenBody", TokenBody), ("PublishBody", PublishBody)])
def test_bodies_have_the_members_that_are_read(name: str, body: type[msgspec.Struct]) -> None:
    described = DOCUMENT["components"]["schemas"][name]
    assert set(described["properties"]) == {field.encode_name for field in msgspec.structs.fields(body)}


@pytest.mark.parametrize("name", ["mint_token", "publish"])
def test_a_body_that_is_taken_fits_its_schema_and_one_that_is_refused_does_not(name: str) -> None:
    schema = {"$ref": f"#/components/schemas/{'TokenBody' if name == 'mint_token' else 'PublishBody'}"}
    assert fits(REQUESTS[name][2], schema)
    assert not fits(REFUSED[name, 400][2], schema)
