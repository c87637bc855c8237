"""The pieces of the benchmarks on the wire: orders are found, ticks change prices, bytes keep their order."""

import socket
from random import Random

import pytest

from benchmarks.options import BenchmarkFailed, Options
from benchmarks.wire import environments
from benchmarks.wire.clients import bare_clients, configuration
from benchmarks.wire.environments import IB_ASYNC, LIBRARIES
from benchmarks.wire.line import Line, OrderReader
from benchmarks.wire.market import MARKER_ASK, SYMBOLS, StillMarket, Ticks
from benchmarks.wire.scraper import sample
from trader.settings import Settings
from trader.simulator.wire.codec import FrameReader, frame

VERSION = 178


def fields_of(data: bytes) -> list[list[str]]:
    reader = FrameReader()
    reader.feed(data)
    return list(reader.frames())


# -- orders in what a client sends


def test_an_order_is_found_between_other_messages():
    data = frame(49, 1) + frame(3, 7, 900_001, "T01", "STK") + frame(61, 1)
    assert OrderReader().feed(data) == [900_001]


def test_an_order_is_found_once_however_its_bytes_are_split():
    data, reader = frame(3, 7, 900_001, "T01") + frame(3, 8, 900_002, "T02") + frame(34, 1), OrderReader()
    found = [reader.feed(data[position : position + 1]) for position in range(len(data))]
    assert [con_id for part in found for con_id in part] == [900_001, 900_002]


def test_a_message_whose_number_begins_like_an_orders_is_none():
    assert OrderReader().feed(frame(36, 7, 900_001)) == []


# -- ticks


def test_a_tick_changes_the_ask_of_one_instrument():
    ticks, last = Ticks({10: 1, 11: 2, 12: 3}, VERSION, Random(4)), {}
    for kind, _, request_id, tick_type, price, *_ in fields_of(ticks.ticks(500)):
        assert (kind, tick_type) == ("1", "2")
        assert last.get(request_id) != price
        assert price != str(MARKER_ASK.normalize())
        last[request_id] = price
    assert set(last) == {"1", "2", "3"}


def test_markers_go_round_and_name_whose_order_is_to_come():
    ticks = Ticks({10: 1, 11: 2}, VERSION, Random(4))
    marked = [ticks.marker() for _ in range(4)]
    assert [con_id for con_id, _ in marked] == [11, 10, 11, 10]
    assert [fields_of(data)[0][2:5] for _, data in marked[:2]] == [["2", "2", "101"], ["1", "2", "101"]]


def test_the_market_quotes_each_symbol_once():
    assert [event.symbol for event in StillMarket(SYMBOLS).events()] == list(SYMBOLS)


# -- the socket


@pytest.fixture
def pair():
    """Both ends of a connection; the first does not take much at a time."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        theirs = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def line(pair):
    return Line(pair[0])


def test_what_the_socket_does_not_take_is_sent_later_and_in_order(line, pair):
    wanted = b"".join(b"%06d" % number for number in range(20_000))
    for start in range(0, len(wanted), 6_000):
        line.write(wanted[start : start + 6_000])
    got = bytearray()
    while len(got) < len(wanted):
        got += pair[1].recv(1 << 16)
        line.flush()
    assert bytes(got) == wanted
    assert line.flush()


def test_what_is_read_comes_with_its_moment(line, pair):
    assert line.read() is None
    pair[1].sendall(b"abc")
    while (read := line.read()) is None:
        pass
    data, at_ns = read
    assert data == b"abc"
    assert at_ns > 0


def test_a_client_that_hangs_up_ends_the_benchmark(line, pair):
    pair[1].close()
    with pytest.raises(BenchmarkFailed, match="hung up"):
        next(read for read in iter(line.read, b"never") if read is not None)


# -- clients


def test_the_service_accepts_its_configuration():
    settings = Settings.model_validate(configuration(4_002, 9_464, SYMBOLS))
    assert [item.symbol for item in settings.instruments] == list(SYMBOLS)


def test_a_quick_run_installs_nothing_and_says_what_it_leaves_out(tmp_path, monkeypatch):
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    clients, notes = bare_clients(Options(seed=1, quick=True, told=str))
    assert [client.name for client in clients] == [f"bare {IB_ASYNC.name}"]
    assert len(notes) == len(LIBRARIES) - 1
    assert all("not installed" in note for note in notes)


def test_a_metric_is_read_from_a_scrape():
    answer = '# TYPE a_total counter\na_total 12.0\na_total_more 3.0\nb{x="1"} 2\n'
    assert (sample(answer, "a_total"), sample(answer, "missing")) == (12.0, 0.0)
