"""What must hold after every run: one function per rule, each of which names the rule's source.

An invariant looks at the evidence and yields a line for each violation; none is the good news.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from agentbus.testing.simulation.evidence import Evidence
from agentbus.testing.simulation.invariants import (
    books,
    buses,
    delivery,
    ends,
    flows,
    lives,
    queues,
    redelivery,
    schedules,
)

Invariant = Callable[[Evidence], Iterator[str]]

INVARIANTS: tuple[Invariant, ...] = (
    ends.nothing_fails_unseen,
    lives.states_follow_the_table,
    lives.events_agree_with_states,
    lives.will_reconnect_is_the_truth,
    lives.gives_up_only_for_a_reason,
    lives.retries_keep_their_distance,
    lives.the_floor_holds,
    delivery.acks_mean_delivery,
    delivery.nobody_hears_himself,
    delivery.what_is_heard_is_what_was_handed,
    delivery.requests_arrive_in_order,
    delivery.outcomes_are_true,
    buses.letters_are_handled_at_most_once,
    buses.letters_keep_their_order,
    buses.outcomes_of_letters_are_true,
    buses.every_letter_has_its_outcome,
    buses.cancels_end_the_work,
    books.the_books_balance,
    books.dead_letters_are_published_once,
    buses.nobody_is_buried_alive,
    buses.no_bus_ends_against_its_will,
    buses.everybody_finds_everybody,
    buses.every_node_has_one_connection,
    buses.the_roll_call_is_answered,
    buses.nodes_keep_their_pace,
    queues.no_job_is_lost,
    queues.puts_and_results_are_answered,
    queues.attempts_hold_a_lease,
    queues.jobs_go_their_way,
    queues.jobs_are_acked_once,
    queues.settlements_are_the_workers_own,
    redelivery.redeliveries_have_a_reason,
    queues.jobs_start_in_order,
    queues.nothing_begins_while_paused,
    queues.payments_happen_once,
    flows.flows_take_their_course,
    flows.flows_hand_on_what_steps_gave,
    schedules.ticks_put_one_job_each,
    schedules.no_tick_is_left_out,
    queues.the_numbers_add_up,
    ends.every_future_resolves,
    ends.everybody_comes_to_rest,
    ends.the_hub_knows_who_is_there,
    ends.subscriptions_agree,
    ends.rosters_agree,
    ends.nothing_is_left,
)


class Violation(msgspec.Struct, frozen=True):
    """Something that must not happen, and did.

    Attributes:
        invariant: the name of the rule's function.
        message: what happened.
    """

    invariant: str
    message: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.message}"


def judge(evidence: Evidence) -> list[Violation]:
    """Hold the evidence against every invariant."""
    return [
        Violation(invariant.__name__, message) for invariant in INVARIANTS for message in invariant(evidence)
    ]
