"""What a client of a hub raises."""

from __future__ import annotations

from typing import ClassVar

from agentbus.errors.root import AgentBusError


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


class ExtensionMissingError(SignallingError):
    """The hub does not offer what this call needs; nothing was sent. See `client.capabilities`.

    Attributes:
        extension: its name, such as `dedupe.v1`.
    """

    def __init__(self, extension: str) -> None:
        super().__init__(f"the hub does not offer {extension}, which this call needs; nothing was sent")
        self.extension = extension


class TokenProviderError(SignallingError):
    """The token provider raised, timed out or gave no token; its own exception is the `__cause__`."""


class ClientDisposedError(SignallingError):
    """`dispose()` was called on this client; make a new one."""

    follows_an_end: ClassVar[bool] = True
