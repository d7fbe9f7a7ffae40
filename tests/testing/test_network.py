"""The in-memory network and its faults, under real wire code."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import Generator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentbus.protocol.url import check_origin
from agentbus.runtime.loop import HostedLoop
from agentbus.runtime.virtual import VirtualLoop
from agentbus.testing.faults import Toward
from agentbus.testing.network import MemoryNetwork
from agentbus.testing.simulation.process import Process
from agentbus.wire import Flusher, ServerConnection, ServerOptions, Target, Transport
from tests.wire.fakes import ClientEar, ServerEar


class Town:
    """A network with an echoing hub, and clients that dial it."""

    def __init__(self, seed: int = 7) -> None:
        self.aio = VirtualLoop()
        self.network = MemoryNetwork(self.aio, Random(seed))
        self.hub: list[ServerEar] = []
        self._flusher = Flusher(self.aio)
        self.network.listen("ws://localhost", self.accept)

    def accept(self) -> ServerConnection:
        ear = ServerEar()
        ear.on_message = lambda payload: ear.connection.send_text(b"echo " + payload)
        self.hub.append(ear)
        return ServerConnection(ear, self._flusher, ServerOptions())

    def dial(self, name: str = "alice", origin: str = "ws://localhost") -> tuple[ClientEar, Transport]:
        ear = ClientEar()
        dialler = self.network.dialler(name)
        return ear, dialler(Target(check_origin(origin), "/v1?key=k"), ear, HostedLoop(self.aio))

    def open(self, name: str = "alice") -> tuple[ClientEar, Transport]:
        ear, transport = self.dial(name)
        self.run()
        assert ear.told == ["open"]
        return ear, transport

    def run(self, seconds: float = 0.0) -> None:
        self.aio.advance(seconds)


@pytest.fixture
def town() -> Generator[Town]:
    made = Town()
    with made.aio:
        yield made


def test_clients_reach_the_hub_under_their_names(town: Town) -> None:
    alice, transport = town.open("alice")
    town.open("bob")
    transport.send_text(b"hi")
    town.run()
    assert alice.messages == [b"echo hi"]
    assert [ear.requests[0].peer_address for ear in town.hub] == ["alice", "bob"]
    assert [connection.name for connection in town.network.connections] == ["alice", "bob"]
    transport.close(1000, "")
    town.run()
    assert [connection.name for connection in town.network.connections] == ["bob"]


def test_a_connection_that_has_ended_is_not_kept(town: Town) -> None:
    _, transport = town.open()
    ended = weakref.ref(town.network.connections[0])
    transport.close(1000, "")
    del transport
    town.run()
    town.hub.clear()
    town.open("bob")
    gc.collect()
    assert ended() is None


def test_dials_without_a_name_are_numbered(town: Town) -> None:
    for _ in range(2):
        target = Target(check_origin("ws://localhost"), "/v1?key=k")
        town.network.transport_factory(target, ClientEar(), HostedLoop(town.aio))
    town.run()
    assert [connection.name for connection in town.network.connections] == ["client-1", "client-2"]


def test_an_origin_where_nobody_listens_refuses(town: Town) -> None:
    ear, _ = town.dial(origin="wss://elsewhere")
    town.run()
    assert [code for code, *_ in ear.closed] == [1006]


def test_a_closed_listener_refuses_and_another_one_takes_its_place(town: Town) -> None:
    listener = town.network.listen("ws://localhost", town.accept)
    listener.close()
    ear, _ = town.dial()
    town.run()
    assert [code for code, *_ in ear.closed] == [1006]
    town.network.listen("ws://localhost:80/", town.accept)
    town.open()


def test_refusing_hits_dials_and_leaves_connections(town: Town) -> None:
    alice, transport = town.open("alice")
    with town.network.refusing("bob"):
        bob, _ = town.dial("bob")
        carol, _ = town.dial("carol")
        town.run()
        assert [code for code, *_ in bob.closed] == [1006]
        assert carol.told == ["open"]
    with town.network.refusing():
        dave, _ = town.dial("dave")
        transport.send_text(b"hi")
        town.run()
        assert dave.told == ["closed"]
        assert alice.messages == [b"echo hi"]
    town.open("dave")


def test_delaying_takes_its_time_each_way_and_keeps_the_order(town: Town) -> None:
    alice, transport = town.open()
    with town.network.delaying(2.0, "alice"):
        transport.send_text(b"slow")
        town.run(1.0)
        transport.send_text(b"slower")
        town.run(2.9)
        assert alice.messages == []
        town.run(0.1)
        assert alice.messages == [b"echo slow"]
    town.run(0.9)
    transport.send_text(b"fast, but behind")
    town.run(0.1)
    assert alice.messages == [b"echo slow", b"echo slower", b"echo fast, but behind"]


def test_delaying_one_direction_and_the_dial(town: Town) -> None:
    with town.network.delaying(1.0, toward=Toward.SERVER):
        alice, transport = town.dial()
        town.run(1.9)
        assert alice.told == []
        town.run(0.1)
        assert alice.told == ["open"]
        transport.send_text(b"there in one, back at once")
        town.run(1.0)
        assert len(alice.messages) == 1


def test_jitter_keeps_the_order(town: Town) -> None:
    alice, transport = town.open()
    with town.network.delaying(0.1, jitter=1.0):
        for number in range(50):
            transport.send_text(b"%d" % number)
            town.run(0.02)
        town.run(5.0)
    assert alice.messages == [b"echo %d" % number for number in range(50)]


def test_cut_breaks_both_ends_of_whom_it_names(town: Town) -> None:
    alice, transport = town.open("alice")
    bob, _ = town.open("bob")
    transport.send_text(b"lost on the way")
    assert town.network.cut("alice") == 1
    town.run()
    assert alice.closed == [(1006, "", None, None)]
    assert [ear.closed for ear in town.hub] == [[(1006, "")], []]
    assert town.hub[0].messages == []
    assert bob.closed == []
    assert town.network.cut(town.network.connections[0]) == 1
    assert town.network.cut("nobody") == 0
    town.run()
    assert bob.closed != []


def test_a_silent_cut_leaves_the_hub_half_open_until_its_pings_fail(town: Town) -> None:
    alice, _ = town.open()
    town.network.cut("alice", silently=True)
    town.run(39.9)
    assert alice.closed == [(1006, "", None, None)]
    assert town.hub[0].closed == []
    assert len(town.network.connections) == 1
    town.run(0.1)
    assert town.hub[0].closed == [(1006, "")]
    assert town.network.connections == []


@given(size=st.integers(0, 200))
@settings(max_examples=40, deadline=None)
def test_cut_after_breaks_at_the_very_byte(size: int) -> None:
    town = Town()
    with town.aio:
        alice, transport = town.open()
        with town.network.cut_after(size, "alice", toward=Toward.SERVER):
            for _ in range(21):
                transport.send_text(b"ten")  # 2 of header, 4 of key, 3 of payload
                town.run()
            # no 22nd byte after the border is heard of
        assert len(town.hub[0].messages) == min(21, size // 9)
        assert bool(alice.closed) is (size <= 21 * 9)


def test_cut_after_counts_each_connection_anew(town: Town) -> None:
    with town.network.cut_after(1000):
        for _ in range(3):
            alice, transport = town.open()
            while not alice.closed:
                transport.send_text(b"x" * 100)
                town.run()
            assert alice.messages == [b"echo " + b"x" * 100] * len(alice.messages)
    assert len(town.hub) == 3


def test_dropping_breaks_connections_by_chance(town: Town) -> None:
    outcomes: list[bool] = []
    with town.network.dropping(0.2, "alice"):
        for _ in range(40):
            alice, transport = town.dial("alice")
            town.run()
            transport.send_text(b"x")
            town.run()
            outcomes.append(bool(alice.closed))
            transport.abort()
    town.open("bob")
    assert 8 < sum(outcomes) < 38


def test_splitting_cuts_chunks_anywhere_and_loses_nothing(town: Town) -> None:
    with town.network.splitting():
        alice, transport = town.open()
        for number in range(30):
            transport.send_text(b"%d" % number * 40)
        transport.close(1000, "done")
        town.run()
    assert town.hub[0].messages == [b"%d" % number * 40 for number in range(30)]
    assert town.hub[0].activity > 1
    assert alice.closed == [(1000, "done", None, None)]


def test_a_partition_holds_everything_back_until_it_heals(town: Town) -> None:
    alice, transport = town.open("alice")
    with town.network.partition("alice"):
        transport.send_text(b"held")
        late, _ = town.dial("alice")
        town.run(10.0)
        assert town.hub[0].messages == []
        assert late.told == []
        assert transport.write_buffer_bytes > 0
    town.run()
    assert alice.messages == [b"echo held"]
    assert late.told == ["open"]


def test_a_partition_hides_the_death_of_the_other_end(town: Town) -> None:
    alice, transport = town.open()
    with town.network.partition("alice"):
        transport.abort()
        town.run(10.0)
        assert alice.closed != []
        assert town.hub[0].closed == []
    town.run()
    assert town.hub[0].closed == [(1006, "")]


def test_a_one_way_partition_lets_the_other_way_through(town: Town) -> None:
    alice, transport = town.open()
    with town.network.partition("alice", toward=Toward.CLIENT):
        transport.send_text(b"heard")
        town.run(10.0)
        assert town.hub[0].messages == [b"heard"]
        assert alice.messages == []
        town.run(30.0)  # the hub's ping is not heard either, so nothing answers it
        assert town.hub[0].closed == [(1006, "")]


def test_a_paused_process_neither_hears_nor_is_heard(town: Town) -> None:
    alice, transport = town.open("alice")
    bob, bobs = town.open("bob")
    with town.network.paused("alice"):
        transport.send_text(b"later")
        bobs.send_text(b"now")
        town.run(5.0)
        assert (alice.messages, bob.messages) == ([], [b"echo now"])
    town.run()
    assert alice.messages == [b"echo later"]


def test_a_whole_hub_can_be_named_by_its_origin(town: Town) -> None:
    town.open("alice")
    town.open("bob")
    assert town.network.cut("ws://localhost") == 2


def test_the_same_seed_gives_the_same_run() -> None:
    def trace(seed: int) -> list[object]:
        town, told = Town(seed), list[object]()
        with town.aio:
            network = town.network
            with network.dropping(0.05), network.splitting(), network.delaying(0.01, jitter=0.5):
                for number in range(12):
                    ear, transport = town.dial(f"c{number % 3}")
                    ear.on_message = functools.partial(_note, told, town, number)
                    town.run(1.0)
                    for part in range(5):
                        transport.send_text(b"%d" % part)
                    town.run(2.0)
                    told.append((number, ear.told, ear.closed))
            return told

    first = trace(3)
    assert trace(3) == first
    assert trace(4) != first


def test_the_same_seed_gives_the_same_bytes_keys_included(monkeypatch: pytest.MonkeyPatch) -> None:
    def sent(seed: int) -> list[bytes]:
        town, seen = Town(seed), list[bytes]()

        def data_received(connection: ServerConnection, data: bytes) -> None:
            seen.append(data)
            receive(connection, data)

        with monkeypatch.context() as patch, town.aio:
            patch.setattr(ServerConnection, "data_received", data_received)
            _, transport = town.open()
            transport.send_text(b"hello")
            town.run()
        return seen

    receive = ServerConnection.data_received
    first = sent(3)
    assert len(first) == 2
    assert sent(3) == first
    other = sent(4)
    assert [other[0] != first[0], other[1] != first[1]] == [True, True]


def test_a_dial_from_another_loop_waits_for_the_end_of_a_partition(town: Town) -> None:
    with town.network.partition():
        process = Process(town.aio, "other", "seed")
        ear = ClientEar()
        target = Target(check_origin("ws://localhost"), "/v1?key=k")
        town.network.dialler("alice")(target, ear, process.home)
        town.run(5.0)
        assert ear.told == []
    town.run()
    assert ear.told == ["open"]


def _note(told: list[object], town: Town, number: int, payload: bytes) -> None:
    told.append((town.aio.time(), number, payload))
