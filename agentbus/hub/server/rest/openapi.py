"""The control plane described for tools: an OpenAPI 3.1 document, made from what is in force."""

from __future__ import annotations

from typing import Any

import msgspec

from agentbus.hub.core.claims import MAX_METADATA_BYTES, MAX_PEER_METADATA_BYTES
from agentbus.hub.core.config import ALL_ACTIONS
from agentbus.hub.core.control_bodies import (
    DEFAULT_LIFETIME,
    DEFAULT_SENDER,
    MAX_BODY_BYTES,
    MAX_CHANNELS,
    MAX_LIFETIME,
    MAX_PERMISSIONS,
    ErrorAnswer,
    KickAnswer,
    PublishAnswer,
    TokenAnswer,
)
from agentbus.hub.core.usage import Usage
from agentbus.hub.server.rest.paths import OPERATIONS, Operation

API_VERSION = "1.0.0"

Json = dict[str, Any]

_ERRORS: dict[int, str] = {
    400: "`invalid_request`: the path, the body or a name in them; `channel_reserved`: a channel of the hub.",
    401: "`unauthorized`: one answer for every kind of bad credential.",
    403: "`action_not_permitted` or `channel_not_authorized`: more than the key may, or a suspended app.",
    413: f"`invalid_request`: a body of more than {MAX_BODY_BYTES} bytes, or data of more than a message's.",
    429: "`rate_limited`: too many bad credentials from this address; `over_message_quota`.",
    503: "`internal_error`: the hub failed, or is shutting down.",
}
_ALWAYS = (401, 429, 503)

_DESCRIPTIONS: dict[str, tuple[str, str, str, tuple[int, ...]]] = {
    "mint_token": (
        "Sign a token that lets one peer in; it allows no more than the key.",
        "TokenBody",
        "TokenAnswer",
        (400, 403, 413),
    ),
    "list_peers": (
        "Tell who is in a channel now; the key needs the `presence` action.",
        "",
        "PeersAnswer",
        (400, 403),
    ),
    "publish": (
        "Publish to every subscribed connection; the key needs the `publish` action.",
        "PublishBody",
        "PublishAnswer",
        (400, 403, 413),
    ),
    "kick": (
        "Close all connections of a peer with 4020; none is no error.",
        "",
        "KickAnswer",
        (400, 403),
    ),
    "usage": ("Tell the app's live counters.", "", "Usage", ()),
}


def document() -> Json:
    """Make the document."""
    paths: Json = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.template, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "agentbus hub: control plane",
            "version": API_VERSION,
            "description": "A secret pair authenticates each call; its app, channels and actions bound it.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"pair": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "pair": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "Authorization: Bearer sk_id_…:sk_secret_…",
                }
            },
            "schemas": _schemas(),
            "responses": {str(status): _error(text) for status, text in _ERRORS.items()},
        },
    }


def _operation(operation: Operation) -> Json:
    words, body, answer, errors = _DESCRIPTIONS[operation.name]
    made: Json = {
        "operationId": operation.name,
        "summary": words,
        "responses": {"200": {"description": "Done.", "headers": _HEADERS, "content": _json(answer)}},
    }
    for status in sorted((*errors, *_ALWAYS)):
        made["responses"][str(status)] = {"$ref": f"#/components/responses/{status}"}
    if operation.target:
        made["parameters"] = [_parameter(operation.target)]
    if body:
        made["requestBody"] = {"required": True, "content": _json(body)}
    return made


def _parameter(name: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": "Percent-encoded as one segment: `a/b` is `a%2Fb`.",
        "schema": {"type": "string", "minLength": 1},
    }


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


_HEADERS: Json = {
    "X-Request-Id": {
        "description": "Names the call in the logs of the hub.",
        "schema": {"type": "string"},
    }
}


def _error(text: str) -> Json:
    return {"description": text, "headers": _HEADERS, "content": _json("ErrorAnswer")}


def _schemas() -> Json:
    known = (ErrorAnswer, KickAnswer, PublishAnswer, TokenAnswer, Usage)
    _, schemas = msgspec.json.schema_components(known, ref_template="#/components/schemas/{name}")
    return schemas | {"TokenBody": _TOKEN_BODY, "PublishBody": _PUBLISH_BODY, **_PEERS}


_METADATA: Json = {"type": "object", "additionalProperties": True}
_TOKEN_BODY: Json = {
    "type": "object",
    "required": ["peerId"],
    "properties": {
        "peerId": {
            "type": "string",
            "pattern": "^[ -~]{1,128}$",
            "description": "The peer that the token lets in.",
        },
        "channels": {
            "type": "array",
            "items": {"type": "string"},
            "maxItems": MAX_CHANNELS,
            "description": "Patterns, each within one of the key's; by default all that the key grants.",
        },
        "permissions": {
            "type": "array",
            "items": {"enum": sorted(ALL_ACTIONS)},
            "maxItems": MAX_PERMISSIONS,
            "description": "By default all that the key permits.",
        },
        "expiresInSec": {
            "type": "integer",
            "minimum": 1,
            "maximum": MAX_LIFETIME,
            "default": DEFAULT_LIFETIME,
        },
        "metadata": {
            **_METADATA,
            "description": f"For the peer's own welcome; at most {MAX_METADATA_BYTES} bytes of JSON.",
        },
        "peerMetadata": {
            **_METADATA,
            "description": f"What other peers see; at most {MAX_PEER_METADATA_BYTES} bytes of JSON.",
        },
    },
}
_PUBLISH_BODY: Json = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "data": {"description": "Any JSON value, null included; it is passed on byte for byte."},
        "from": {
            "type": "string",
            "minLength": 1,
            "maxLength": 128,
            "default": DEFAULT_SENDER,
            "description": "The sender that subscribers see.",
        },
        "peerMetadata": {
            **_METADATA,
            "description": f"The sender's metadata; at most {MAX_PEER_METADATA_BYTES} bytes of JSON.",
        },
    },
}
_PEERS: Json = {
    "PeersAnswer": {
        "title": "PeersAnswer",
        "description": "Who is in a channel, in the order of joining.",
        "type": "object",
        "required": ["channel", "peers"],
        "properties": {
            "channel": {"type": "string"},
            "peers": {"type": "array", "items": {"$ref": "#/components/schemas/Peer"}},
        },
    },
    "Peer": {
        "type": "object",
        "required": ["peerId"],
        "properties": {"peerId": {"type": "string"}, "metadata": _METADATA},
    },
}
