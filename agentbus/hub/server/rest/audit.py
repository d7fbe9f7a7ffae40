"""The audit log: one line per call of the control plane, who called what, about whom, and how it ended.

Its lines hold no secret: of a credential the public half, once the pair has proved good, and of what a
caller sent the name of a channel or peer.
"""

from __future__ import annotations

import logging
from typing import Final

from agentbus.hub.core.control_bodies import Answer
from agentbus.hub.core.keyring import Caller
from agentbus.hub.server.journal import as_text

log: Final = logging.getLogger("agentbus.hub.audit")


def record(
    call: str, target: str, caller: Caller | None, answer: Answer, *, address: str, request_id: str
) -> None:
    """Write the line of one call.

    A caller of whom no more is heard for now, for too many bad credentials, gets lines at *debug* alone:
    whoever floods a hub does not fill its disk. The 401s before it were written.

    Args:
        call: the name of the operation.
        target: the channel or peer that it is about; "" where there is none, or none that can be read.
        caller: whose secret pair was shown; None for a bad credential.
        answer: what the caller is told.
        address: where the request came from.
        request_id: as in the answer's `X-Request-Id`.
    """
    level = logging.DEBUG if answer.error == "rate_limited" else logging.INFO
    if not log.isEnabledFor(level):
        return
    facts: dict[str, object] = {"call": call}
    if caller is not None:
        facts |= {"app": caller.app.id, "key": caller.key.id}
    if target:
        facts["target"] = target
    facts["status"] = answer.status
    if answer.error is not None:
        facts["error"] = answer.error
    facts |= {"address": address or "unix", "request": request_id}
    log.log(level, "control: %s", as_text(facts), extra={"facts": facts})
