"""Which language model writes the prose: plain facts, which travel without the library that uses them."""

from __future__ import annotations

from msgspec import Struct


class Endpoint(Struct, frozen=True):
    """Whom the workers ask.

    Attributes:
        url: base URL of the API, such as `http://127.0.0.1:8080/v1`.
        model: its name; the first that the endpoint lists, if it is empty.
        read_timeout: seconds without a sign of life from the endpoint.
        retries: of one request that was refused or not answered.
    """

    url: str
    model: str = ""
    read_timeout: float = 60.0
    retries: int = 2
