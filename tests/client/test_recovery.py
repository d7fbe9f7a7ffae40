"""Nothing is lost over a reconnect, or the client says so: client and hub over a network with faults."""

from __future__ import annotations

from typing import Any

import pytest

from agentbus.client import (
    Capabilities,
    DisconnectedEvent,
    MessagesMissed,
    SignallingClient,
)
from agentbus.errors import (
    DisconnectedError,
    ExtensionMissingError,
    MailboxFullError,
    NotConnectedError,
    SignallingServerError,
)
from agentbus.hub.core import HistoryRule
from agentbus.testing.faults import Toward
from tests.client.gathering import Gathering, gather, heard, hub_config, with_mailboxes
from tests.client.world import outcome

ROOM = "rooms/1"


async def _publish(client: SignallingClient, *numbers: int) -> None:
    for number in numbers:
        await client.publish(ROOM, number)


@gather()
async def test_after_a_cut_a_client_gets_what_it_missed_in_order(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    await _publish(ann, 1, 2)
    with gathering.network.refusing("bob"):
        gathering.network.cut("bob")
        await _publish(ann, 3, 4, 5)
        await gathering.sleep(1)
    await gathering.sleep(1)
    await _publish(ann, 6)
    await gathering.sleep(1)
    assert kept == [1, 2, 3, 4, 5, 6]


@gather(hub_config(HistoryRule(pattern="rooms/**", max_messages=3)))
async def test_where_the_history_does_not_reach_one_event_says_how_many_are_missed(
    gathering: Gathering,
) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    await _publish(ann, 1)
    with gathering.network.refusing("bob"):
        gathering.network.cut("bob")
        await _publish(ann, 2, 3, 4, 5)
        await gathering.sleep(1)
    await gathering.sleep(1)
    await _publish(ann, 6)
    await gathering.sleep(1)
    assert kept == [1, MessagesMissed(ROOM, 4), 6]


@gather()
async def test_another_hub_gives_exactly_one_event_without_a_count(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    await _publish(ann, 1)
    await gathering.restart_hub()
    await gathering.sleep(2)
    await _publish(ann, 2)
    gathering.network.cut("bob")
    await gathering.sleep(2)
    await _publish(ann, 3)
    await gathering.sleep(1)
    assert kept == [1, MessagesMissed(ROOM, None), 2, 3]


@gather()
async def test_own_messages_do_not_come_back(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    await _publish(ann, 1)
    await _publish(bob, 2)
    with gathering.network.refusing("bob"):
        gathering.network.cut("bob")
        await _publish(ann, 3)
        await gathering.sleep(1)
    await gathering.sleep(1)
    await _publish(bob, 4)
    gathering.network.cut("bob")
    await gathering.sleep(1)
    assert kept == [1, 3]


@gather(hub_config(HistoryRule(pattern="rooms/**", max_messages=2)))
async def test_own_messages_that_fell_out_of_the_history_are_not_missed(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    await _publish(ann, 1)
    await _publish(bob, 2, 3, 4, 5)
    gathering.network.cut("bob")
    await gathering.sleep(1)
    await _publish(ann, 6)
    await gathering.sleep(1)
    assert kept == [1, 6]


@gather()
async def test_who_does_not_want_to_recover_goes_on_with_what_comes(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM, recover=False)
    await _publish(ann, 1)
    with gathering.network.refusing("bob"):
        gathering.network.cut("bob")
        await _publish(ann, 2)
        await gathering.sleep(1)
    await gathering.sleep(1)
    await _publish(ann, 3)
    await gathering.sleep(1)
    assert kept == [1, 3]


@gather(hub_config())
async def test_a_hub_without_history_works_as_ever(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    await _publish(ann, 1)
    gathering.network.cut("bob")
    await gathering.sleep(1)
    await _publish(ann, 2)
    await gathering.sleep(1)
    assert kept == [1, 2]
    assert bob.capabilities == Capabilities(frozenset({"limits.v1", "dedupe.v1"}))
    assert bob.capabilities.missing == {"recover.v1"}


@gather()
async def test_a_channel_that_was_given_up_begins_anew(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    await _publish(ann, 1)
    await bob.unsubscribe(ROOM)
    await _publish(ann, 2)
    given_up, again = bob.unsubscribe(ROOM), bob.subscribe(ROOM)
    await given_up
    await again
    await _publish(ann, 3)
    gathering.network.cut("bob")
    await gathering.sleep(1)
    assert kept == [1, 3]


# -- retried messages ----------------------------------------------------------------------------------------


@gather()
async def test_an_unacked_publish_is_sent_again_and_takes_effect_once(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    with gathering.network.partition("ann", toward=Toward.CLIENT):  # the hub gets it, its ack is held up
        sent = ann.publish(ROOM, 1, retry=True)
        await gathering.sleep(0.1)
        gathering.network.cut("ann")
        await gathering.sleep(0)
    later = ann.publish(ROOM, 2, retry=True)
    await sent
    await later
    await gathering.sleep(0.1)
    assert kept == [1, 2]


@gather()
async def test_what_is_to_be_retried_waits_while_the_client_reconnects(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    with gathering.network.refusing("ann"):
        gathering.network.cut("ann")
        await gathering.sleep(1)
        futures = [ann.publish(ROOM, number, retry=True) for number in range(1000)]
        assert isinstance(await outcome(ann.publish(ROOM, -1)), NotConnectedError)
        await gathering.sleep(5)
    for future in futures:
        await future
    await gathering.sleep(0.1)
    assert kept == list(range(1000))


@gather()
async def test_a_send_is_retried_likewise(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    got = heard(bob)
    with gathering.network.partition("ann", toward=Toward.CLIENT):
        sent = ann.send(str(bob.peer_id), 1, retry=True)
        await gathering.sleep(0.1)
        gathering.network.cut("ann")
        await gathering.sleep(0)
    await sent
    refused = await outcome(ann.send("nobody", 1, retry=True))
    assert isinstance(refused, SignallingServerError)
    assert refused.code == "peer_not_found"
    assert got == [1]


@gather(hub_config(extensions=("limits.v1",)))
async def test_without_dedupe_a_retry_is_refused_and_nothing_leaves(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    refused = await outcome(ann.publish(ROOM, 1, retry=True))
    assert isinstance(refused, ExtensionMissingError)
    assert refused.extension == "dedupe.v1"
    await gathering.sleep(0.1)
    assert kept == []


@gather()
async def test_another_life_of_the_hub_gets_nothing_that_the_last_one_may_have_had(
    gathering: Gathering,
) -> None:
    ann = await gathering.join("ann")
    with gathering.network.partition("ann", toward=Toward.SERVER):
        doubtful = ann.publish(ROOM, 1, retry=True)
        await gathering.sleep(0.1)
        gathering.network.cut("ann")
        waiting = ann.publish(ROOM, 2, retry=True)
        await gathering.restart_hub()
    assert isinstance(await outcome(doubtful), DisconnectedError)
    assert await outcome(waiting) is None


@gather()
async def test_close_fails_what_was_to_be_retried(gathering: Gathering) -> None:
    ann = await gathering.join("ann", max_retried=2)
    with gathering.network.partition("ann"):
        sent = ann.publish(ROOM, 1, retry=True)
        await gathering.sleep(0.1)
        gathering.network.cut("ann")
        await gathering.sleep(0.01)
        waiting, too_many = ann.publish(ROOM, 2, retry=True), ann.publish(ROOM, 3, retry=True)
        await gathering.sleep(1)
        await ann.close()
        assert isinstance(await outcome(sent), DisconnectedError)
        assert isinstance(await outcome(waiting), NotConnectedError)
        assert isinstance(await outcome(too_many), MailboxFullError)
        assert isinstance(await outcome(ann.publish(ROOM, 4, retry=True)), NotConnectedError)


@gather(hub_config(messages_per_second=100, message_burst=200))
async def test_retried_messages_keep_below_the_hub_s_rate(gathering: Gathering) -> None:
    ann = await gathering.join("ann")
    lost: list[Any] = []
    ann.on(DisconnectedEvent)(lost.append)
    futures = [ann.publish(ROOM, number, retry=True) for number in range(1000)]
    for future in futures:
        await future
    assert lost == []


# -- mailboxes -----------------------------------------------------------------------------------------------


@gather(with_mailboxes(max_messages=3))
async def test_what_is_sent_to_a_peer_that_is_away_comes_when_it_is_back(gathering: Gathering) -> None:
    ann = await gathering.join("ann")
    bob = await gathering.join("bob", api_key=None, token_provider=lambda: "bob", mailbox=True)
    kept = heard(bob)
    await gathering.sleep(0.1)
    await ann.send("bob", 1)
    with gathering.network.refusing("bob"):
        gathering.network.cut("bob")
        await gathering.sleep(0.1)
        outcomes = [await outcome(ann.send("bob", number)) for number in (2, 3, 4, 5)]
    await gathering.sleep(1)
    await ann.send("bob", 6)
    await gathering.sleep(0.1)
    assert kept == [1, 2, 3, 4, 6]
    assert outcomes[:3] == [None, None, None]
    assert isinstance(outcomes[3], SignallingServerError)
    assert outcomes[3].code == "mailbox_full"


@gather(with_mailboxes(max_age=10.0))
async def test_what_has_expired_meanwhile_is_told(gathering: Gathering) -> None:
    ann = await gathering.join("ann")
    bob = await gathering.join("bob", api_key=None, token_provider=lambda: "bob", mailbox=True)
    kept = heard(bob)
    await gathering.sleep(0.1)
    with gathering.network.refusing("bob"):
        gathering.network.cut("bob")
        await gathering.sleep(0.1)
        await ann.send("bob", 1)
        await gathering.sleep(11)
    await gathering.sleep(1)
    assert kept == [MessagesMissed("_system/direct", None)]


def test_a_mailbox_needs_a_name_that_stays() -> None:
    with pytest.raises(ValueError, match="token_provider"):
        SignallingClient(api_key="pk_live_x", mailbox=True)


# -- how fast it comes back ----------------------------------------------------------------------------------

SMALL_BACKLOG = 1 << 17


@gather(hub_config(HistoryRule(pattern="rooms/**", max_bytes=8 << 20), max_backlog_bytes=SMALL_BACKLOG))
async def test_a_recovery_many_times_the_backlog_cap_keeps_below_it(gathering: Gathering) -> None:
    ann, bob = await gathering.join("ann"), await gathering.join("bob")
    kept = heard(bob)
    await bob.subscribe(ROOM)
    with gathering.network.refusing("bob"):
        gathering.network.cut("bob")
        for number in range(500):
            await ann.publish(ROOM, [number, "x" * 4000])
    with gathering.network.partition("bob", toward=Toward.CLIENT):
        await gathering.sleep(5)  # it is back, and can't read
        await ann.publish(ROOM, [500, ""])
    with gathering.network.delaying(0.01, "bob"):
        await gathering.sleep(30)
    assert [number for number, _ in kept] == list(range(501))
    assert gathering.hub.shell.slow_consumers == 0
    assert bob.statistics().connects == 2
