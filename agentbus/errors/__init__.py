"""Every exception that agentbus raises, in one tree; it imports nothing else of ours.

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
    │   ├─ ExtensionMissingError               the hub does not offer what the call needs
    │   ├─ TokenProviderError                  the token provider failed; its own exception is the cause
    │   └─ ClientDisposedError                 dispose() was called
    ├─ HubError
    │   ├─ HubConfigError (ValueError)         hub.toml: file, key, problem
    │   ├─ PacketError (ValueError)            what another hub sent can't be read
    │   └─ TokenError (ValueError)             a JWT that the hub refuses
    └─ AgentError
        ├─ NodeTakenError                      another live process holds this node id
        ├─ MissingPermission                   the credential lacks what a feature needs
        ├─ BusClosedError                      the bus was closed, or ended by a no-retry code
        ├─ NoSuchAgentError                    the node lives, the agent does not
        ├─ UndecodableMessageError             the recipient cannot read this message
        ├─ UnhandledMessageError               the recipient has no handler for this message
        ├─ AgentFailed                         the handler raised
        ├─ AgentStalledError                   no progress for the agent's stall_timeout
        ├─ AgentRestarted                      the agent was restarted while it worked on this
        ├─ AgentStopped                        the agent stopped before it worked on this
        ├─ AskTimeoutError (TimeoutError)      the deadline passed before the reply
        ├─ OutcomeUnknownError                 the other incarnation is gone and its ack never came
        ├─ HopLimitError                       messages that cause one another without end
        ├─ DeadlockError                       an ask whose answer would wait for the asker
        ├─ BudgetExhausted                     the message's budget does not cover this
        ├─ BodyTooLargeError (ValueError)      over the largest body the bus carries
        ├─ AttachmentFailed                    the source of an attachment raised
        ├─ CreditExceededError                 more chunks came than were granted
        ├─ ProcessExitedError                  an agent's process ended without being asked to
        ├─ StoreError                          an agent's state can't be read or written
        ├─ NotTrustedError                     the sender may not do that here
        ├─ Retry                               a job's handler wants another attempt later
        ├─ Reject                              a job's handler wants no further attempt
        ├─ QueueOptionsError (ValueError)      options that a queue can't have
        ├─ ApprovalError
        │   ├─ ApprovalDenied                      somebody said no
        │   ├─ ApprovalExpired                     nobody decided in time
        │   ├─ PayloadChanged                      it is not what was asked for under this key
        │   ├─ DecisionRefusedError                who decides may not, or comes too late
        │   ├─ NoSuchApprovalError                 the desk knows no such request
        │   └─ TooManyApprovalsError               no more may wait
        ├─ QueueError
        │   ├─ QueueFullError                      it holds as much as it may
        │   ├─ QueueTakenError                     another live process hosts it
        │   ├─ QueueFencedError                    another process has claimed it since
        │   ├─ NoSuchJobError                      it knows no such job
        │   ├─ NoSuchJobStateError (ValueError)    no job is ever in that state
        │   ├─ ResultsLostError                    its reader was too far behind
        │   ├─ LeaseLostError                      the job is not this worker's any more
        │   ├─ EffectInDoubtError                  it may or may not have happened
        │   ├─ ScheduleError (ValueError)          a schedule that makes no sense
        │   └─ JobError
        │       ├─ JobFailed                       its last attempt has failed
        │       ├─ JobRejected                     its handler has refused it for good
        │       ├─ JobCancelled                    somebody has cancelled it
        │       └─ JobTimeoutError (TimeoutError)  an attempt took longer than allowed
        └─ ModelError
            ├─ TokensOverQuotaError (ValueError)   more tokens than a minute allows
            └─ ModelUnavailableError               the endpoint gave no answer, after all retries

Facts are fields. Text that came from a server stays in a field and never enters a message; no field holds a
secret. `str(error)` says what happened, to what, and what to do about it.
"""

from __future__ import annotations

from agentbus.errors.agents import (
    AgentError,
    AgentFailed,
    AgentRestarted,
    AgentStalledError,
    AgentStopped,
    AskTimeoutError,
    AttachmentFailed,
    BodyTooLargeError,
    BudgetExhausted,
    BusClosedError,
    CreditExceededError,
    DeadlockError,
    HopLimitError,
    MissingPermission,
    NodeTakenError,
    NoSuchAgentError,
    NotTrustedError,
    OutcomeUnknownError,
    ProcessExitedError,
    StoreError,
    UndecodableMessageError,
    UnhandledMessageError,
)
from agentbus.errors.approvals import (
    ApprovalDenied,
    ApprovalError,
    ApprovalExpired,
    DecisionRefusedError,
    NoSuchApprovalError,
    PayloadChanged,
    TooManyApprovalsError,
)
from agentbus.errors.client import (
    AckTimeoutError,
    ClientDisposedError,
    DisconnectedError,
    ExtensionMissingError,
    NotConnectedError,
    OversizedPayloadError,
    SignallingConnectError,
    SignallingDisconnectedError,
    SignallingError,
    SignallingServerError,
    TokenProviderError,
)
from agentbus.errors.hub import HubConfigError, HubError, PacketError, TokenError
from agentbus.errors.llm import ModelError, ModelUnavailableError, TokensOverQuotaError
from agentbus.errors.names import EncodeError, FrameDecodeError, InvalidNameError, InvalidUrlError
from agentbus.errors.queues import (
    EffectInDoubtError,
    JobCancelled,
    JobError,
    JobFailed,
    JobRejected,
    JobTimeoutError,
    LeaseLostError,
    NoSuchJobError,
    NoSuchJobStateError,
    QueueError,
    QueueFencedError,
    QueueFullError,
    QueueOptionsError,
    QueueTakenError,
    Reject,
    ResultsLostError,
    Retry,
    ScheduleError,
)
from agentbus.errors.root import AgentBusError
from agentbus.errors.runtime import (
    ActorStoppedError,
    BlockingCallError,
    ForkedError,
    FutureCancelledError,
    FutureTimeoutError,
    MailboxFullError,
    MessageDroppedError,
    RuntimeFault,
    StreamClosedError,
)

__all__ = [
    "AckTimeoutError",
    "ActorStoppedError",
    "AgentBusError",
    "AgentError",
    "AgentFailed",
    "AgentRestarted",
    "AgentStalledError",
    "AgentStopped",
    "ApprovalDenied",
    "ApprovalError",
    "ApprovalExpired",
    "AskTimeoutError",
    "AttachmentFailed",
    "BlockingCallError",
    "BodyTooLargeError",
    "BudgetExhausted",
    "BusClosedError",
    "ClientDisposedError",
    "CreditExceededError",
    "DeadlockError",
    "DecisionRefusedError",
    "DisconnectedError",
    "EffectInDoubtError",
    "EncodeError",
    "ExtensionMissingError",
    "ForkedError",
    "FrameDecodeError",
    "FutureCancelledError",
    "FutureTimeoutError",
    "HopLimitError",
    "HubConfigError",
    "HubError",
    "InvalidNameError",
    "InvalidUrlError",
    "JobCancelled",
    "JobError",
    "JobFailed",
    "JobRejected",
    "JobTimeoutError",
    "LeaseLostError",
    "MailboxFullError",
    "MessageDroppedError",
    "MissingPermission",
    "ModelError",
    "ModelUnavailableError",
    "NoSuchAgentError",
    "NoSuchApprovalError",
    "NoSuchJobError",
    "NoSuchJobStateError",
    "NodeTakenError",
    "NotConnectedError",
    "NotTrustedError",
    "OutcomeUnknownError",
    "OversizedPayloadError",
    "PacketError",
    "PayloadChanged",
    "ProcessExitedError",
    "QueueError",
    "QueueFencedError",
    "QueueFullError",
    "QueueOptionsError",
    "QueueTakenError",
    "Reject",
    "ResultsLostError",
    "Retry",
    "RuntimeFault",
    "ScheduleError",
    "SignallingConnectError",
    "SignallingDisconnectedError",
    "SignallingError",
    "SignallingServerError",
    "StoreError",
    "StreamClosedError",
    "TokenError",
    "TokenProviderError",
    "TokensOverQuotaError",
    "TooManyApprovalsError",
    "UndecodableMessageError",
    "UnhandledMessageError",
]
