"""Every exception that agentbus raises, in one tree; it imports nothing of ours.

    AgentBusError
    ├─ InvalidNameError (ValueError)           a channel, peer id or node name that the protocol forbids
    ├─ InvalidUrlError (ValueError)            a hub URL that the protocol forbids
    ├─ FrameDecodeError (ValueError)           bytes that are no frame; carries the protocol's error code
    ├─ EncodeError (TypeError)                 data that has no JSON form
    ├─ RuntimeFault
    │   ├─ ForkedError                         an object made before a fork, used in the child
    │   ├─ BlockingCallError                   a wait that would have deadlocked a loop thread
    │   ├─ FutureTimeoutError (TimeoutError)   Future.get(timeout) ran out
    │   ├─ FutureCancelledError                the result was cancelled
    │   ├─ ActorStoppedError                   the actor ended before it handled the message
    │   ├─ MailboxFullError                    the mailbox is full and its policy is *reject*
    │   ├─ MessageDroppedError                 the mailbox was full and its policy dropped this message
    │   └─ StreamClosedError                   the stream has ended
    ├─ SignallingError
    │   ├─ SignallingConnectError              connect() ended before the welcome
    │   ├─ SignallingServerError               the hub answered with an error frame
    │   ├─ SignallingDisconnectedError
    │   │   ├─ NotConnectedError               the frame never left
    │   │   └─ DisconnectedError               the hub may or may not have handled it
    │   ├─ AckTimeoutError (TimeoutError)      no ack within 15 s
    │   ├─ OversizedPayloadError (ValueError)  over the hub's message size
    │   ├─ TokenProviderError                  the token provider failed; its own exception is the cause
    │   └─ ClientDisposedError                 dispose() was called
    ├─ HubError
    │   ├─ HubConfigError (ValueError)         hub.toml: file, key, problem
    │   └─ TokenError (ValueError)             a JWT that the hub refuses
    └─ AgentError
        ├─ NodeTakenError                      another live process holds this node id
        ├─ MissingPermission                   the credential lacks what a feature needs
        ├─ BusClosedError                      the bus was closed, or ended by a no-retry code
        ├─ NoSuchAgentError                    the node lives, the agent does not
        ├─ UndecodableMessageError             the recipient cannot read this message
        ├─ UnhandledMessageError               the recipient has no handler for this message
        ├─ AgentFailed                         the handler raised
        ├─ AgentRestarted                      the agent was restarted while it worked on this
        ├─ AgentStopped                        the agent stopped before it worked on this
        ├─ AskTimeoutError (TimeoutError)      the deadline passed before the reply
        ├─ OutcomeUnknownError                 the other incarnation is gone and its ack never came
        ├─ BodyTooLargeError (ValueError)      over the largest body the bus carries
        └─ NotTrustedError                     the sender may not do that here

Facts are fields. Text that came from a server stays in a field and never enters a message; no field holds a
secret. `str(error)` says what happened, to what, and what to do about it.
"""

from __future__ import annotations

from typing import Any


class AgentBusError(Exception):
    """Root of every error that agentbus raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle fields, so that errors cross process borders whole."""
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(cls: type[AgentBusError], args: tuple[Any, ...], fields: dict[str, Any]) -> AgentBusError:
    error = cls.__new__(cls)
    error.args = args
    error.__dict__.update(fields)
    return error


# -- names, URLs, frames -----------------------------------------------------------------------------------


class InvalidNameError(AgentBusError, ValueError):
    """A name that protocol section 2 forbids.

    Attributes:
        kind: what was named: "channel", "peer id", "node", ...
        problem: which rule it breaks.
    """

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"not a valid {kind}: {problem}")
        self.kind = kind
        self.problem = problem


class InvalidUrlError(AgentBusError, ValueError):
    """A hub URL that protocol section 1 forbids. The URL itself is not repeated: it may carry a secret."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"not a valid hub URL: {problem}")
        self.problem = problem


class FrameDecodeError(AgentBusError, ValueError):
    """Bytes that are no usable frame.

    Attributes:
        code: the error code of protocol section 6 that a hub answers with.
        problem: what is wrong, in our own words.
        request_id: the frame's `requestId` where it could still be read.
    """

    def __init__(self, code: str, problem: str, request_id: str | None = None) -> None:
        super().__init__(f"unusable frame ({code}): {problem}")
        self.code = code
        self.problem = problem
        self.request_id = request_id


class EncodeError(AgentBusError, TypeError):
    """Data that has no JSON form."""


# -- runtime -----------------------------------------------------------------------------------------------


class RuntimeFault(AgentBusError):  # noqa: N818 -- "RuntimeError" is taken
    """Root of what actors, futures and loops raise."""


class ForkedError(RuntimeFault):
    """An object made before a fork was used in the child; make a new one there."""


class BlockingCallError(RuntimeFault):
    """A blocking wait on a loop thread, which could never end; `await` it instead."""


class FutureTimeoutError(RuntimeFault, TimeoutError):
    """`Future.get(timeout)` ran out; the work itself goes on."""


class FutureCancelledError(RuntimeFault):
    """The result was cancelled before it came."""


class ActorStoppedError(RuntimeFault):
    """The actor ended before it handled the message."""


class MailboxFullError(RuntimeFault):
    """The mailbox is full and its policy is *reject*.

    Attributes:
        capacity: messages that it holds.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(f"the mailbox is full ({capacity} messages); slow down, or give it another policy")
        self.capacity = capacity


class MessageDroppedError(RuntimeFault):
    """The mailbox was full and its policy dropped this message."""


class StreamClosedError(RuntimeFault):
    """The stream has ended."""


# -- client ------------------------------------------------------------------------------------------------


class SignallingError(AgentBusError):
    """Root of what `SignallingClient` raises."""


class SignallingConnectError(SignallingError):
    """`connect()` ended before the hub's welcome.

    Attributes:
        close_code: the WebSocket close code; 1006 for a failure of TCP, TLS or HTTP.
        reason: the hub's own text, unchecked.
        http_status: the status of a refused upgrade, if there was one.
    """

    def __init__(
        self, close_code: int, reason: str = "", *, explanation: str = "", http_status: int | None = None
    ) -> None:
        text = f"the connection ended before the welcome: close code {close_code}"
        if http_status is not None:
            text += f", HTTP status {http_status}"
        super().__init__(f"{text} ({explanation})" if explanation else text)
        self.close_code = close_code
        self.reason = reason
        self.http_status = http_status


class SignallingServerError(SignallingError):
    """The hub answered a request with an error frame.

    Attributes:
        code: an error code of protocol section 6, or an unknown one, verbatim.
        server_message: the hub's own text, unchecked.
        request_id: the request that it answers.
    """

    def __init__(self, code: str, server_message: str | None = None, request_id: str | None = None) -> None:
        super().__init__("the hub refused the request; the code is in .code, its text in .server_message")
        self.code = code
        self.server_message = server_message
        self.request_id = request_id


class SignallingDisconnectedError(SignallingError):
    """There is no connection, or it ended before the answer."""


class NotConnectedError(SignallingDisconnectedError):
    """The frame never left: there was no open connection. Await `connect()` first."""


class DisconnectedError(SignallingDisconnectedError):
    """The connection ended before the answer; the hub may or may not have handled the request.

    Attributes:
        close_code: how the connection ended.
    """

    def __init__(self, close_code: int) -> None:
        super().__init__(
            f"the connection ended (close code {close_code}) before the answer; "
            "the hub may or may not have handled the request"
        )
        self.close_code = close_code


class AckTimeoutError(SignallingError, TimeoutError):
    """The hub did not answer in time; it may or may not have handled the request."""

    def __init__(self, timeout: float) -> None:
        super().__init__(f"no ack within {timeout:g} s; the hub may or may not have handled the request")
        self.timeout = timeout


class OversizedPayloadError(SignallingError, ValueError):
    """The encoded frame is over the hub's message size and was not sent.

    Attributes:
        size: bytes of the encoded frame.
        cap: bytes that the hub takes.
    """

    def __init__(self, size: int, cap: int) -> None:
        super().__init__(f"the frame has {size} bytes and the hub takes {cap}; send less, or split it")
        self.size = size
        self.cap = cap


class TokenProviderError(SignallingError):
    """The token provider raised, timed out or gave no token; its own exception is the `__cause__`."""


class ClientDisposedError(SignallingError):
    """`dispose()` was called on this client; make a new one."""


# -- hub ---------------------------------------------------------------------------------------------------


class HubError(AgentBusError):
    """Root of what the hub raises."""


class HubConfigError(HubError, ValueError):
    """A configuration that the hub refuses.

    Attributes:
        source: the file, or what stands in for it.
        key: dotted path of the setting.
        problem: what is wrong with it; never its value, which may be a secret.
    """

    def __init__(self, source: str, key: str, problem: str) -> None:
        super().__init__(f"{source}: {key}: {problem}" if key else f"{source}: {problem}")
        self.source = source
        self.key = key
        self.problem = problem


class TokenError(HubError, ValueError):
    """A JWT that the hub refuses.

    Attributes:
        expired: whether its `exp` has passed and all else was right.
    """

    def __init__(self, problem: str, *, expired: bool = False) -> None:
        super().__init__(f"the token is refused: {problem}")
        self.problem = problem
        self.expired = expired


# -- agents ------------------------------------------------------------------------------------------------


class AgentError(AgentBusError):
    """Root of what agents and the bus raise."""


class NodeTakenError(AgentError):
    """Another live process holds this node id; give this one another `node=`."""

    def __init__(self, node: str) -> None:
        super().__init__(f"another live process is node {node!r}; give this one another node=")
        self.node = node


class MissingPermission(AgentError):  # noqa: N818 -- the name is part of the interface
    """The credential lacks what a feature needs.

    Attributes:
        action: "send", "publish", "subscribe" or "presence".
        feature: what cannot work without it.
    """

    def __init__(self, action: str, feature: str) -> None:
        super().__init__(f"the credential does not permit {action!r}, which {feature} needs")
        self.action = action
        self.feature = feature


class BusClosedError(AgentError):
    """The bus was closed, or a no-retry close code ended it (then `close_code` says which)."""

    def __init__(self, explanation: str = "the bus is closed", close_code: int | None = None) -> None:
        super().__init__(explanation)
        self.close_code = close_code


class NoSuchAgentError(AgentError):
    """The node lives; it hosts no agent of that name."""

    def __init__(self, address: str) -> None:
        super().__init__(f"there is no agent {address!r}")
        self.address = address


class UndecodableMessageError(AgentError):
    """The recipient cannot read this message: unknown type, unknown version, or a body that does not fit."""


class UnhandledMessageError(AgentError):
    """The recipient has no handler for this type of message."""


class AgentFailed(AgentError):  # noqa: N818 -- the name is part of the interface
    """The handler raised.

    Attributes:
        error_type: qualified name of the handler's exception.
        error_message: its text.
    """

    def __init__(self, error_type: str, error_message: str = "") -> None:
        super().__init__(f"the handler raised {error_type}: {error_message}")
        self.error_type = error_type
        self.error_message = error_message


class AgentRestarted(AgentError):  # noqa: N818 -- the name is part of the interface
    """The agent was restarted while it worked on this."""


class AgentStopped(AgentError):  # noqa: N818 -- named like its siblings
    """The agent stopped before it worked on this."""


class AskTimeoutError(AgentError, TimeoutError):
    """The deadline passed before the reply."""


class OutcomeUnknownError(AgentError):
    """The other incarnation is gone and its ack never came: the message may or may not have been handled."""


class BodyTooLargeError(AgentError, ValueError):
    """The body is over what the bus carries.

    Attributes:
        size: bytes of the encoded body.
        cap: bytes that the bus carries.
    """

    def __init__(self, size: int, cap: int) -> None:
        super().__init__(f"the body has {size} bytes and the bus carries {cap}; send less, or a reference")
        self.size = size
        self.cap = cap


class NotTrustedError(AgentError):
    """The sender's token does not allow that here."""
