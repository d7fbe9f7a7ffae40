"""Envelopes over one frame: cut and put together, whatever the network, the peer and the text do."""

from __future__ import annotations

import zlib
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.agents.envelope import NOTHING, Envelope, Item, Packet, Part, encode_envelope
from agentbus.agents.link import ENVELOPE_BYTES, Link
from agentbus.agents.link_queue import LinkOptions, Unsent
from agentbus.agents.outcome import Outcome
from agentbus.agents.parts import PART_BYTES, Assembler, AssemblyRoom, Splitter, Verdict, cut
from tests.agents.pair import ROOM, A, B, Pair, run_chaos

CAP = 10_000
HOSTILE_TEXT = 'é日🙂"\\\n\x01x'


def encode_envelope_of(size: int) -> bytes:
    return encode_envelope(Envelope(id="x", sender="x" * size))


def pieces(data: bytes, room: int) -> list[tuple[msgspec.Raw, Part]]:
    """Cut all of an envelope."""
    splitter = Splitter(Unsent(msgspec.Raw(data), len(data), None, None))
    found: list[tuple[msgspec.Raw, Part]] = []
    while splitter.left:
        piece = splitter.next(room, len(found) + 1)
        assert piece is not None
        found.append(piece)
    return found


def items(data: bytes, room: int = 200, left: float | None = None) -> list[Item]:
    """Give the items that carry an envelope."""
    return [Item(1 + n, left, text, (), part) for n, (text, part) in enumerate(pieces(data, room))]


class Receiver:
    """An assembler, and what it said."""

    def __init__(self, cap: int = CAP, capacity: int = 1 << 20) -> None:
        self.room = AssemblyRoom(capacity)
        self.assembler = Assembler(cap, 60.0, self.room)
        self.verdicts: list[Verdict] = []

    def take(self, *taken: Item, now: float = 0.0) -> list[tuple[int, Outcome | None]]:
        for item in taken:
            assert item.part is not None
            self.verdicts += self.assembler.take(item, item.part, now)
        return [(verdict.first, verdict.outcome) for verdict in self.verdicts]


# -- cutting -------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(st.text(min_size=1, max_size=400), st.integers(40, 300))
def test_any_text_cut_at_any_size_is_whole_again(text: str, room: int) -> None:
    data = text.encode()
    found = pieces(data, room)
    assert all(len(piece) <= room for piece, _ in found)
    receiver = Receiver()
    receiver.take(*(Item(1 + n, None, piece, (), part) for n, (piece, part) in enumerate(found)))
    assert [bytes(verdict.envelope) for verdict in receiver.verdicts] == [data]
    assert receiver.room.used_bytes == 0


def test_a_piece_fills_its_room_but_for_its_escapes() -> None:
    plain = cut(b"x" * 1000, 0, 500)
    assert plain is not None
    assert len(plain[0]) == 500
    dense = cut(b'"' * 1000, 0, 500)
    assert dense is not None
    assert len(dense[0]) >= 400


def test_there_are_no_pieces_without_room() -> None:
    assert cut(b"x" * 100, 0, 10) is None


def test_what_is_no_text_ends_at_both_sides() -> None:
    splitter = Splitter(Unsent(msgspec.Raw(b"\xff" * 100), 100, None, None))
    found = splitter.next(60, 1)
    assert found is not None
    assert found[0] == NOTHING
    assert splitter.left == 0
    assert Receiver().take(Item(1, None, *found[:1], (), found[1])) == [(1, Outcome.DEAD_LETTERED)]


# -- a hostile peer ------------------------------------------------------------------------------------------

WHOLE = b"x" * 900


def test_a_size_over_the_cap_is_refused_before_anything_is_kept() -> None:
    receiver = Receiver(cap=800)
    parts = items(WHOLE)
    assert receiver.take(parts[0]) == [(1, Outcome.DEAD_LETTERED)]
    assert receiver.room.used_bytes == 0
    assert receiver.take(*parts[1:]) == [(1, Outcome.DEAD_LETTERED)], "the rest is of no interest"


def lie(item: Item, **facts: int) -> Item:
    assert item.part is not None
    return msgspec.structs.replace(item, part=msgspec.structs.replace(item.part, **facts))


@pytest.mark.parametrize(
    "change",
    [{"total": 901}, {"total": 300}, {"offset": 0}, {"offset": 500}, {"checksum": 7}, {"total": -1}],
)
def test_a_part_that_contradicts_the_ones_before_ends_it(change: dict[str, int]) -> None:
    receiver = Receiver()
    parts = items(WHOLE)
    assert receiver.take(parts[0], lie(parts[1], **change), *parts[2:]) == [(1, Outcome.DEAD_LETTERED)]
    assert (receiver.room.used_bytes, receiver.room.dropped) == (0, 1)


def test_a_wrong_checksum_is_found_in_the_end() -> None:
    receiver = Receiver()
    wrong = [lie(part, checksum=7) for part in items(WHOLE)]
    assert receiver.take(*wrong) == [(1, Outcome.DEAD_LETTERED)]


def test_more_bytes_than_announced_end_it() -> None:
    receiver = Receiver()
    parts = [lie(part, total=850) for part in items(WHOLE)]
    assert receiver.take(*parts) == [(1, Outcome.DEAD_LETTERED)]


@pytest.mark.parametrize("text", [b'""', b"7", b"{}", b'"\\ud800"'])
def test_pieces_that_carry_no_text_end_it(text: bytes) -> None:
    receiver = Receiver()
    part = Part(1, 0, 900, 7)
    assert receiver.take(Item(1, None, msgspec.Raw(text), (), part)) == [(1, Outcome.DEAD_LETTERED)]


def test_a_second_envelope_ends_the_unfinished_first() -> None:
    receiver = Receiver()
    first, second = items(WHOLE)[0], items(b"y" * 100)[0]
    second = lie(msgspec.structs.replace(second, sequence=2), first=2)
    assert receiver.take(first, second) == [(1, Outcome.DEAD_LETTERED), (2, None)]


def test_a_part_of_nothing_is_ignored() -> None:
    receiver = Receiver()
    assert receiver.take(*items(WHOLE)[1:]) == []


def test_all_links_together_hold_no_more_than_their_room() -> None:
    receiver = Receiver(capacity=500)
    assert receiver.take(*items(WHOLE)) == [(1, Outcome.DEAD_LETTERED)]
    assert receiver.room.used_bytes == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), st.integers(-1, 999)), max_size=12))
def test_no_sequence_of_parts_gives_two_verdicts_or_keeps_bytes(steps: list[tuple[int, int, int]]) -> None:
    receiver = Receiver()
    parts = items(WHOLE)
    for sequence, (index, fact, value) in enumerate(steps, start=1):
        name = ("offset", "total", "checksum", "first")[fact]
        changed = lie(parts[index], **{name: value if value % 3 else sequence})
        receiver.take(msgspec.structs.replace(changed, sequence=sequence))
    receiver.verdicts += receiver.assembler.drop(Outcome.UNKNOWN)
    told = Counter(verdict.first for verdict in receiver.verdicts)
    assert all(count == 1 for count in told.values())
    assert receiver.room.used_bytes == 0


# -- time ----------------------------------------------------------------------------------------------------


def test_without_a_next_part_it_is_dropped_after_the_time_out() -> None:
    receiver = Receiver()
    receiver.take(items(WHOLE)[0], now=5.0)
    assert receiver.assembler.next_deadline(reachable=True) == 65.0
    assert receiver.assembler.tick(64.9, reachable=True) == []
    assert receiver.assembler.tick(65.0, reachable=True) == [Verdict(1, Outcome.DEAD_LETTERED)]
    assert receiver.room.dropped == 1


def test_while_the_other_side_is_away_the_time_out_waits() -> None:
    receiver = Receiver()
    receiver.take(items(WHOLE)[0], now=5.0)
    assert receiver.assembler.next_deadline(reachable=False) is None
    assert receiver.assembler.tick(500.0, reachable=False) == []
    receiver.assembler.touch(500.0)
    assert receiver.assembler.next_deadline(reachable=True) == 560.0


def test_a_deadline_that_passes_half_way_expires_the_rest_on_both_sides() -> None:
    pair = Pair(window=2)
    pair.post(size=9 * ROOM, lifetime=1.0)
    pair.transmit(pair.a)
    pair.deliver_next(pair.a)
    pair.advance(1.5)
    pair.settle_all()
    assert pair.outcomes == {"m0": [Outcome.EXPIRED]}
    assert pair.arrived == []


# -- on a link -----------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, 5, 256]), st.sampled_from([600, 2000, 5000]))
def test_large_bodies_arrive_exactly_once_whatever_the_network_does(
    seed: int, window: int, room: int
) -> None:
    pair = Pair(window=window, window_bytes=6000)
    pair.room, pair.alphabet = room, HOSTILE_TEXT
    run_chaos(pair, seed, 120, sizes=(0, 400, 3000, 12_000))
    pair.settle_all()
    pair.check_account()
    assert pair.arrived == [name for name in pair.posted if name in set(pair.arrived)]
    fates = Counter(fates[0] for fates in pair.outcomes.values())
    assert fates[Outcome.DELIVERED] == len(pair.handled)
    assert len(pair.posted) == fates[Outcome.DELIVERED] + fates[Outcome.EXPIRED]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120))
def test_a_death_half_way_leaves_one_outcome_and_nothing_else(seed: int, steps: int) -> None:
    pair = Pair(window=4)
    run_chaos(pair, seed, steps, sizes=(0, 3000, 12_000))
    unsent = pair.a.close()
    pair.collect()
    for never_left in unsent:
        pair.outcomes.setdefault(never_left.token, []).append(Outcome.DEAD_LETTERED)
        assert never_left.token not in pair.arrived
        assert bytes(never_left.envelope) == pair.sent[never_left.token]
    pair.check_account()
    assert pair.a.idle


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from([10, 900, 1500, 7000]), st.booleans()), max_size=25),
    st.sampled_from([3, 256]),
)
def test_bodies_and_control_traffic_of_both_directions_share_a_link(
    posts: list[tuple[bool, int, bool]], window: int
) -> None:
    options = LinkOptions(window=window)
    links = Link(A, B, options, 0.0), Link(B, A, options, 0.0)
    now, settled, arrived = 0.0, list[object](), 0
    for number in range(500):
        now += 0.2
        for link, other in (links, links[::-1]):
            if number < len(posts) and posts[number][0] is (link is links[0]):
                _, size, urgent = posts[number]
                link.post(encode_envelope_of(size), token=number, urgent=urgent)
            packet = link.take(ROOM, now)
            if packet is not None:
                assert len(msgspec.json.encode(packet)) <= ROOM
                for inbound in other.receive(packet, now):
                    arrived += 1
                    other.settle(inbound.sequence, Outcome.DELIVERED, now)
            settled += [(fate.token, fate.outcome) for fate in link.take_settled()]
    assert arrived == len(posts)
    assert sorted(settled, key=str) == sorted(((n, Outcome.DELIVERED) for n in range(len(posts))), key=str)


def test_a_cut_at_every_packet_of_a_body_changes_nothing() -> None:
    pair = Pair()
    pair.post(size=5 * ROOM)
    for _ in range(9):
        pair.transmit(pair.a, 1)
        pair.deliver_next(pair.a)
        pair.cut(lose=True)
    pair.settle_all()
    assert pair.outcomes == {"m0": [Outcome.DELIVERED]}
    assert pair.arrived == ["m0"]


@pytest.mark.parametrize("window", [1, 2, 256])
def test_a_body_that_is_taken_back_half_way_is_dropped_on_both_sides(window: int) -> None:
    pair = Pair(window=window)
    body = pair.post(size=9 * ROOM)
    pair.transmit(pair.a, 1)
    pair.deliver_next(pair.a)
    assert pair.halves.used_bytes > 0
    assert pair.withdraw(body)
    assert not pair.withdraw(body)
    behind = pair.post()
    pair.settle_all()
    assert pair.arrived == [behind]
    assert pair.halves.used_bytes == pair.halves.dropped == 0
    pair.check_account()


def test_a_body_that_found_no_room_in_the_frame_is_taken_back_whole() -> None:
    pair = Pair(window=1)
    first, body = pair.post(), pair.post(size=9 * ROOM)
    pair.transmit(pair.a)
    assert pair.withdraw(body)
    pair.settle_all()
    assert pair.arrived == [first]
    assert not any(b"m1" in frame for _link, frame in pair.old)
    pair.check_account()


def test_a_body_whose_last_part_has_left_is_not_taken_back() -> None:
    pair = Pair()
    body = pair.post(size=3 * ROOM)
    pair.transmit(pair.a)
    assert not pair.withdraw(body)
    pair.settle_all()
    assert pair.outcomes == {body: [Outcome.DELIVERED]}


def test_a_body_larger_than_the_window_passes() -> None:
    pair = Pair(window_bytes=3000)
    pair.post(size=20 * ROOM)
    pair.post()
    pair.settle_all()
    assert pair.arrived == ["m0", "m1"]


def test_control_traffic_overtakes_between_the_parts_of_a_body() -> None:
    pair = Pair(window=2)
    pair.post(size=9 * ROOM)
    pair.transmit(pair.a)
    urgent = pair.post(urgent=True)
    pair.settle_all()
    assert pair.arrived == [urgent, "m0"]


def test_an_urgent_envelope_that_needs_parts_goes_first_among_the_ordinary() -> None:
    pair = Pair()
    pair.post()
    urgent = pair.post(size=3 * ROOM, urgent=True)
    pair.settle_all()
    assert pair.arrived == [urgent, "m0"]


def test_the_receiver_s_refusal_stops_the_sender_half_way() -> None:
    pair = Pair(window=2)
    pair.b = Link(B, A, LinkOptions(max_body_bytes=100), pair.now)
    pair.wire[pair.b] = pair.wire.pop(next(link for link in pair.wire if link is not pair.a))
    pair.post(size=ENVELOPE_BYTES + 40 * ROOM)
    frames = len(pair.old)
    pair.settle_all()
    assert pair.outcomes == {"m0": [Outcome.DEAD_LETTERED]}
    assert len(pair.old) - frames < 10


class OldItem(msgspec.Struct, array_like=True):
    """An item as those read it who know no parts."""

    sequence: int
    left: float | None = None
    envelope: msgspec.Raw = NOTHING
    receipts: tuple[tuple[int, int, int], ...] = ()


class OldPacket(msgspec.Struct, tag_field="agentbus", tag="link/1"):
    items: tuple[OldItem, ...] = ()


def test_who_knows_no_parts_finds_no_envelope_in_them() -> None:
    link = Link(A, B, LinkOptions(), 0.0)
    link.post(encode_envelope_of(5000))
    packet = link.take(ROOM, 0.0)
    assert packet is not None
    old = msgspec.json.decode(msgspec.json.encode(packet), type=OldPacket)
    assert isinstance(msgspec.json.decode(old.items[0].envelope), str)


def test_what_a_part_costs_is_kept_in_mind() -> None:
    largest = Part(10**9, 8 << 20, 8 << 20, zlib.crc32(b"x") | 0x80000000)
    assert len(msgspec.json.encode(largest)) + 1 <= PART_BYTES
    assert Packet(A, B).items == ()
