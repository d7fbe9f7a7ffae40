"""What nodes of a bus may rely on: the promises of the link, of membership, and of asks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from agentbus.agents.events import DeathReason, NodeDead, NodeReborn
from agentbus.agents.outcome import Outcome
from agentbus.errors import (
    AgentFailed,
    AgentRestarted,
    AgentStopped,
    AskTimeoutError,
    BodyTooLargeError,
    BusClosedError,
    DeadlockError,
    FutureCancelledError,
    MailboxFullError,
    NoSuchAgentError,
    OutcomeUnknownError,
)
from agentbus.protocol import CloseCode
from agentbus.testing.simulation.bus.letters import Handling, Letter, LifeLog
from agentbus.testing.simulation.bus.nodes import AGENTS
from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.stage import ROLL_CALL

MOMENT: Final = 0.01
GOODBYE: Final = 8.0
"""Seconds that closing a bus may take: 5 for its agents, 1 for its last frames, 1 for its connection."""


def letters_are_handled_at_most_once(evidence: Evidence) -> Iterator[str]:
    """No letter is ever taken up twice, by whatever life of its recipient. agents.md, *Link*."""
    seen: dict[str, Handling] = {}
    for handling in evidence.handlings:
        first = seen.setdefault(handling.letter, handling)
        if first is not handling:
            yield f"{handling.letter} was taken up by {first} and again by {handling}"


def letters_keep_their_order(evidence: Evidence) -> Iterator[str]:
    """From one life to an agent of another, letters are taken up as they were sent. agents.md, *Link*."""
    sent = {letter.name: (number, letter) for number, letter in enumerate(evidence.letters)}
    last: dict[tuple[LifeLog, LifeLog, str], tuple[int, Letter]] = {}
    for handling in evidence.handlings:
        if AGENTS.get(handling.agent, 1) != 1:
            continue  # replicas work beside one another
        number, letter = sent[handling.letter]
        way = letter.sender, handling.life, handling.agent
        before = last.get(way)
        if before is not None and before[0] > number:
            yield f"{handling.life} took up {before[1]} before {letter}"
        last[way] = number, letter


def outcomes_of_letters_are_true(evidence: Evidence) -> Iterator[str]:
    """What its sender is told is what became of a letter. agents.md, *Link*: exactly one named outcome."""
    handled = {handling.letter: handling for handling in evidence.handlings}
    for letter in evidence.letters:
        if letter.done_at is not None:
            problem = _problem(evidence, letter, handled.get(letter.name))
            if problem is not None:
                yield f"{letter}: {problem} ({handled.get(letter.name)})"


def _problem(evidence: Evidence, letter: Letter, handling: Handling | None) -> str | None:
    if letter.error is not None:
        return _problem_of_error(evidence, letter, letter.error, handling)
    finished = handling is not None and handling.ended_at is not None and not handling.raised
    if letter.ask:
        wrong = letter.reply != letter.name or not finished
        return f"answered with {letter.reply}" if wrong else None
    match letter.outcome:
        case Outcome.DELIVERED:
            return None if finished else "delivered, and nobody handled it"
        case Outcome.EXPIRED:
            early = letter.timeout is None or _taken(letter) < letter.timeout - MOMENT
            return "expired, and was handled" if handling else "expired too early" if early else None
        case Outcome.DEAD_LETTERED:
            return "dead-lettered, and was handled" if finished else None
        case Outcome.UNKNOWN:
            return None if _may_be_unknown(evidence, letter) else "unknown, though both lives went on"
        case _:
            return f"its outcome is {letter.outcome}"


def _problem_of_error(
    evidence: Evidence, letter: Letter, error: BaseException, handling: Handling | None
) -> str | None:
    """Hold a failure against what it says. An ask that failed with anything else is a mistake."""
    allowed: dict[type[BaseException], bool] = {
        AskTimeoutError: letter.timeout is not None and _taken(letter) >= letter.timeout - MOMENT,
        AgentFailed: letter.fails and handling is not None and handling.raised,
        AgentRestarted: handling is not None and handling.raised,
        NoSuchAgentError: handling is None,
        AgentStopped: handling is None or handling.raised,
        MailboxFullError: handling is None,
        DeadlockError: handling is None and letter.nested,
        BodyTooLargeError: handling is None,
        OutcomeUnknownError: _may_be_unknown(evidence, letter),
        BusClosedError: letter.sender.over,
        FutureCancelledError: letter.nested or letter.cancelled_at is not None,
    }
    fits = any(isinstance(error, kind) and condition for kind, condition in allowed.items())
    return None if fits else f"failed with {error!r}"


def _taken(letter: Letter) -> float:
    return 0.0 if letter.done_at is None else letter.done_at - letter.sent_at


def _may_be_unknown(evidence: Evidence, letter: Letter) -> bool:
    """Tell whether a life of the recipient, or the sender's own, may have ended meanwhile."""
    node = letter.to.partition("/")[0]
    theirs = [life for life in evidence.lives if life.node == node]
    return any(life.over for life in theirs) or any(_was_reborn(life) for life in [*theirs, letter.sender])


def _was_reborn(life: LifeLog) -> bool:
    return any(isinstance(event, NodeReborn) for _, event in life.events)


def every_letter_has_its_outcome(evidence: Evidence) -> Iterator[str]:
    """Sent = handled + expired + dead-lettered + unknown: nothing is left open. agents.md, *Link*.

    An ask ends at its deadline at the latest. Nobody can tell the killed.
    """
    for letter in evidence.letters:
        sender = letter.sender
        if letter.done_at is None and sender.killed_at is None:
            yield f"{letter} has no outcome"
        elif letter.done_at is not None and letter.ask and letter.timeout is not None:
            late = _taken(letter) - letter.timeout - _stalled(evidence, letter)
            if late > MOMENT:
                yield f"{letter} ended {late:.3f} s after its deadline"
        elif letter.done_at is not None and letter.done_at >= evidence.quiet_at and not letter.ask:
            yield f"{letter} had no outcome until the very end"


def cancels_end_the_work(evidence: Evidence) -> Iterator[str]:
    """Whom its own node has told that nobody wants a letter stops at once. agents.md, *Cancellation*."""
    letters = {letter.name: letter for letter in evidence.letters if letter.cancelled_at is not None}
    for handling in evidence.handlings:
        letter = letters.get(handling.letter)
        if letter is None or letter.cancelled_at is None or handling.life is not letter.sender:
            continue
        ended = handling.ended_at
        over = handling.life.killed_at is not None
        if handling.began_at > letter.cancelled_at:
            yield f"{letter} was given up at {letter.cancelled_at:.3f}, and begun after that"
        elif not over and (ended is None or ended > letter.cancelled_at + MOMENT):
            yield f"{letter} was given up at {letter.cancelled_at:.3f}, and worked on until {ended}"


def _stalled(evidence: Evidence, letter: Letter) -> float:
    """Give the seconds for which the sender's process may have stood still meanwhile."""
    return sum(
        max(0.0, min(each.until, letter.done_at or 0.0) - max(each.at, letter.sent_at))
        for each in evidence.stalls.get(letter.sender.node, ())
    )


def nobody_is_buried_alive(evidence: Evidence) -> Iterator[str]:
    """A goodbye is one that was said; another life replaces one that is over. agents.md, *Liveness*."""
    for life in evidence.lives:
        for at, event in life.events:
            if not isinstance(event, NodeDead) or event.reason is DeathReason.SILENT:
                continue
            lives = [other for other in evidence.lives if other.node == event.node]
            if event.reason is DeathReason.GOODBYE and not any(_had_closed(other, at) for other in lives):
                yield f"{life} heard a goodbye of {event.node} at {at:.3f} that nobody said"
            elif event.reason is DeathReason.REPLACED and not _had_another_life(lives, at):
                yield f"{life} saw {event.node} replaced at {at:.3f}, by nobody"


def _had_closed(life: LifeLog, at: float) -> bool:
    return life.closing_at is not None and life.closing_at <= at


def _had_another_life(lives: list[LifeLog], at: float) -> bool:
    return len([life for life in lives if life.began_at <= at]) > 1 or any(
        _was_reborn(life) for life in lives
    )


def no_bus_ends_against_its_will(evidence: Evidence) -> Iterator[str]:
    """A bus retries for ever, and closes in time when it is asked to. agents.md, *A Bus is not a client*."""
    for life in evidence.lives:
        if life.ended_with is not None:
            yield f"{life} was ended by {life.ended_with!r}"
        if life.closing_at is not None and life.killed_at is None:
            stalled = sum(each.until - each.at for each in evidence.stalls.get(life.node, ()))
            if life.closed_at is None:
                yield f"{life} began to close at {life.closing_at:.3f}, and never ended"
            elif life.closed_at - life.closing_at > GOODBYE + stalled:
                yield f"{life} took {life.closed_at - life.closing_at:.3f} s to close"


def everybody_finds_everybody(evidence: Evidence) -> Iterator[str]:
    """At rest every node knows the agents of every living node, and of no other. agents.md, *Membership*."""
    living = sorted(life.node for life, _ in evidence.quiet_nodes)
    for life, known in evidence.quiet_nodes:
        if life.started_at is None:
            yield f"{life} never joined"
        elif known != living:
            yield f"{life} knows {known}, and {living} live"


def every_node_has_one_connection(evidence: Evidence) -> Iterator[str]:
    """At rest the hub has one session per living node, and none of the dead. Spec section 8, *Liveness*."""
    living = sorted(life.node for life, _ in evidence.quiet_nodes)
    nodes = {spec.name for spec in evidence.plan.nodes}
    present = (evidence.sessions[number].address for number in evidence.quiet_hub.subscriptions)
    counted = sorted(address for address in present if address in nodes)
    if counted != living:
        yield f"the hub has sessions of {counted}, and {living} live"


def the_roll_call_is_answered(evidence: Evidence) -> Iterator[str]:
    """At rest every node can ask every node. agents.md, *A Bus is not a client*."""
    for letter in evidence.letters:
        in_time = evidence.quiet_at - 2 * ROLL_CALL - MOMENT <= letter.sent_at < evidence.quiet_at
        if in_time and letter.reply != letter.name:
            yield f"{letter} got {letter.error!r}"


def nodes_keep_their_pace(evidence: Evidence) -> Iterator[str]:
    """The pacer keeps every connection of a node below the rate that closes it. agents.md, *Link*."""
    nodes = {spec.name for spec in evidence.plan.nodes}
    for session in evidence.sessions:
        if session.address in nodes and session.closed_with is CloseCode.OVER_MESSAGE_RATE:
            yield f"#{session.number} of {session.address} was closed with 4011"
