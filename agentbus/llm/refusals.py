"""What an endpoint's refusal says: whether to try again, and when. Its words are nobody's business."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

RETRIED_STATUSES = frozenset({408, 409, 429, 500, 502, 503, 504, 529})
TOO_MANY_REQUESTS = 429

MAX_RETRY_AFTER = 300.0
DEFAULT_RETRY_AFTER = 1.0
"""Seconds that everybody waits after a refusal that does not say how long."""


def status_of(error: BaseException | None) -> int | None:
    """Give the HTTP status of the library's error; None if there was no answer."""
    return getattr(error, "status_code", None)


def may_pass(error: Exception) -> bool:
    """Whether the same request may be answered the next time."""
    status = status_of(error)
    return status is None or status in RETRIED_STATUSES


def retry_after(error: BaseException | None) -> float | None:
    """Give the seconds that a refusal asks to wait; None if it does not say, or makes no sense."""
    response = getattr(error, "response", None)
    if response is None:
        return None
    headers = cast("Mapping[str, str]", response.headers)
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(0.0, seconds), MAX_RETRY_AFTER)


def limited_for(error: BaseException | None) -> float | None:
    """Give how long a refusal for too many requests holds; None for any other."""
    if status_of(error) != TOO_MANY_REQUESTS:
        return None
    wait = retry_after(error)
    return DEFAULT_RETRY_AFTER if wait is None else wait
