"""Log lines: their form, their levels, their limits."""

import io
import json
import logging
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from observability.describe import SILENT, describe
from observability.exemplars import trace_id
from observability.logs import (
    MAX_LINE_CHARACTERS,
    FactLogger,
    LogPipeline,
    configure_logging,
    is_journal_stream,
    masked,
)
from trader.clock import ManualClock
from trader.contracts import TradingState
from trader.events import (
    AnyFact,
    BrokerErrorReceived,
    CommissionBooked,
    DecisionMade,
    DecisionOutcome,
    ErrorClass,
    FillBooked,
    HaltRequested,
    IntentRefused,
    OrderAcknowledged,
    OrderFinalized,
    OrderIntended,
    OrderOutcome,
    OrderSendFailed,
    OrderSent,
    OrderState,
    OrderStateChanged,
    QuoteReceived,
    RequestFinished,
    RequestOutcome,
    TradingStateChanged,
)

MakeFact = Callable[..., Any]


class Journal:
    """A pipeline into memory; ``lines`` closes it and gives what was written."""

    def __init__(self, clock: ManualClock, level: str = "INFO", with_priority: bool = False) -> None:
        self.stream = io.StringIO()
        self.pipeline = configure_logging(level, clock, self.stream, with_priority)
        self.observe = FactLogger(self.pipeline).observe

    def texts(self) -> list[str]:
        self.pipeline.stop()
        return self.stream.getvalue().splitlines()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts()]


@pytest.fixture
def journal(clock: ManualClock) -> Iterator[Journal]:
    journal = Journal(clock)
    yield journal
    journal.pipeline.stop()


def test_every_fact_is_described_without_failure(every_fact: list[AnyFact]) -> None:
    for fact in every_fact:
        entry = describe(fact)
        assert entry is None or (entry.message and entry.level >= logging.DEBUG)


def test_facts_that_are_not_queued_have_no_line_and_every_kind_without_a_line_is_known(
    every_fact: list[AnyFact],
) -> None:
    assert all(describe(fact) is None for fact in every_fact if type(fact) in SILENT)


def test_every_line_of_an_order_carries_its_reference(make_fact: MakeFact) -> None:
    kinds = (
        OrderIntended,
        OrderSent,
        OrderSendFailed,
        OrderAcknowledged,
        OrderStateChanged,
        OrderFinalized,
        FillBooked,
    )
    for kind in kinds:
        entry = describe(make_fact(kind, order_ref="run-7"))
        assert entry is not None
        assert entry.fields["order_ref"] == "run-7", kind


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (DecisionMade, {"outcome": DecisionOutcome.ENTER, "duration_s": 0.0125}),
        (OrderAcknowledged, {"duration_s": 0.0125}),
        (OrderFinalized, {"duration_s": 0.0125}),
        (FillBooked, {"fill_duration_s": 0.0125, "corrects": None}),
        (RequestFinished, {"outcome": RequestOutcome.TIMEOUT, "duration_s": 0.0125}),
    ],
)
def test_a_line_about_what_took_time_says_how_many_milliseconds(
    make_fact: MakeFact, kind: type, given: dict[str, Any]
) -> None:
    entry = describe(make_fact(kind, **given))
    assert entry is not None
    assert entry.fields["latency_ms"] == 12.5


@pytest.mark.parametrize(
    ("kind", "given", "level"),
    [
        (OrderSendFailed, {}, logging.ERROR),
        (OrderStateChanged, {"new": OrderState.UNKNOWN}, logging.ERROR),
        (OrderStateChanged, {"new": OrderState.CANCELLED}, logging.INFO),
        (OrderStateChanged, {"new": OrderState.WORKING}, logging.DEBUG),
        (OrderFinalized, {"outcome": OrderOutcome.REJECTED}, logging.ERROR),
        (OrderFinalized, {"outcome": OrderOutcome.FILLED}, logging.INFO),
        (BrokerErrorReceived, {"error_class": ErrorClass.NOTICE}, logging.INFO),
        (BrokerErrorReceived, {"error_class": ErrorClass.ORDER_REJECTED}, logging.ERROR),
        (BrokerErrorReceived, {"error_class": ErrorClass.MARKET_DATA}, logging.WARNING),
        (TradingStateChanged, {"new": TradingState.PANIC}, logging.ERROR),
        (TradingStateChanged, {"new": TradingState.HALTED}, logging.WARNING),
        (CommissionBooked, {}, logging.INFO),
    ],
)
def test_trouble_on_the_money_path_is_an_error_and_the_course_of_things_is_not(
    make_fact: MakeFact, kind: type, given: dict[str, Any], level: int
) -> None:
    entry = describe(make_fact(kind, **given))
    assert entry is not None
    assert entry.level == level


def test_a_commission_is_told_with_the_order_that_it_belongs_to(journal: Journal, make_fact: MakeFact) -> None:
    fill = make_fact(FillBooked, order_ref="run-7")
    journal.observe(fill)
    commission = make_fact(CommissionBooked)
    assert commission.line.exec_id == fill.line.exec_id
    journal.observe(commission)
    assert [line["order_ref"] for line in journal.lines()] == ["run-7", "run-7"]


def test_an_order_sent_says_how_long_after_the_tick_it_left(journal: Journal, make_fact: MakeFact) -> None:
    intended = make_fact(OrderIntended, order_ref="run-7", risk_ns=(0, 0))
    decided_ns = intended.approved.intent.decided_ns
    journal.observe(msgspec.structs.replace(intended, risk_ns=(decided_ns, decided_ns + 250_000)))
    journal.observe(make_fact(OrderSent, order_ref="run-7", sent_ns=decided_ns + 1_500_000))
    journal.observe(make_fact(OrderSent, order_ref="of-another-run"))
    assert [line.get("latency_ms") for line in journal.lines()] == [0.25, 1.5, None]


def test_the_line_of_an_error_says_error(journal: Journal, make_fact: MakeFact) -> None:
    journal.observe(make_fact(OrderSendFailed))
    logging.getLogger("trader").error("broken")
    assert ["ERROR" in text for text in journal.texts()] == [True, True]


@pytest.mark.parametrize("code", [1100, 1102, 2104, 2105])
def test_a_message_about_the_link_is_told_once_by_the_fact_that_says_what_it_means(
    make_fact: MakeFact, code: int
) -> None:
    assert describe(make_fact(BrokerErrorReceived, code=code, error_class=ErrorClass.CONNECTIVITY)) is None


def test_a_fact_becomes_one_json_line(journal: Journal, make_fact: MakeFact) -> None:
    journal.observe(make_fact(OrderAcknowledged, order_ref="run-7", duration_s=0.25))
    assert journal.lines() == [
        {
            "time": "2026-03-02T15:30:00+00:00",
            "level": "INFO",
            "logger": "trader.facts",
            "message": "order acknowledged",
            "fact": "OrderAcknowledged",
            "order_ref": "run-7",
            "trace_id": trace_id("run-7"),
            "latency_ms": 250.0,
        }
    ]


def test_a_message_of_the_program_becomes_one_json_line_at_the_services_time(journal: Journal) -> None:
    logging.getLogger("trader.somewhere").warning("disk at %d %%\nfree some", 91, extra={"order_ref": "x"})
    assert journal.lines() == [
        {
            "time": "2026-03-02T15:30:00+00:00",
            "level": "WARNING",
            "logger": "trader.somewhere",
            "message": "disk at 91 %\nfree some",
            "order_ref": "x",
        }
    ]


def test_a_traceback_stays_on_its_line(journal: Journal) -> None:
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        logging.getLogger("trader").exception("failed")
    (line,) = journal.lines()
    assert "RuntimeError: broken" in line["exception"]


def test_ticks_are_not_even_queued(clock: ManualClock, make_fact: MakeFact) -> None:
    pipeline = LogPipeline(io.StringIO(), clock, logging.DEBUG, False, capacity=1)
    FactLogger(pipeline).observe(make_fact(QuoteReceived))
    FactLogger(pipeline).observe(make_fact(HaltRequested))
    assert pipeline.dropped == 0


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(clock: ManualClock, make_fact: MakeFact) -> None:
    pipeline = LogPipeline(io.StringIO(), clock, logging.INFO, False, capacity=2)
    for _ in range(5):
        FactLogger(pipeline).observe(make_fact(HaltRequested))
    assert pipeline.dropped == 3


@pytest.mark.parametrize(
    ("level", "prefix"), [("error", "<3>"), ("warning", "<4>"), ("info", "<6>"), ("critical", "<2>")]
)
def test_on_the_journal_a_line_begins_with_its_priority(clock: ManualClock, level: str, prefix: str) -> None:
    journal = Journal(clock, with_priority=True)
    getattr(logging.getLogger("trader"), level)("hello")
    (text,) = journal.texts()
    assert text.startswith(prefix + "{")


def test_lines_below_the_level_are_left_out(clock: ManualClock, make_fact: MakeFact) -> None:
    journal = Journal(clock, level="ERROR")
    journal.observe(make_fact(OrderSent))
    logging.getLogger("trader").warning("hello")
    journal.observe(make_fact(OrderSendFailed))
    assert [line["fact"] for line in journal.lines()] == ["OrderSendFailed"]


def test_the_same_news_is_told_a_few_times_a_minute_and_then_with_how_often_it_was_left_out(
    journal: Journal, clock: ManualClock, make_fact: MakeFact
) -> None:
    start = clock.now()
    for second in (*range(40), 61):
        journal.observe(make_fact(IntentRefused, at=start + timedelta(seconds=second)))
    lines = journal.lines()
    assert len(lines) == 6
    assert lines[-1]["left_out"] == 35


def test_ib_asyncs_own_messages_are_translated(journal: Journal) -> None:
    library = logging.getLogger("ib_async.wrapper")
    library.error("Error 201, reqId 7: Order rejected")
    library.info("position: ...")
    library.error("cancelOrder: Unknown orderId 3")
    library.error("handler failed", exc_info=RuntimeError("bug"))
    assert [(line["level"], line["message"]) for line in journal.lines()] == [
        ("WARNING", "cancelOrder: Unknown orderId 3"),
        ("ERROR", "handler failed"),
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ibt:hunter2@127.0.0.1/journal", "postgresql://ibt:***@127.0.0.1/journal"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ('{"token": "abc", "a": 1}', '{"token": "***", "a": 1}'),
        ("password=hunter2; next", "password=***; next"),
        ("nothing to hide: SPY 1.5", "nothing to hide: SPY 1.5"),
    ],
)
def test_secrets_are_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_no_secret_gets_into_a_line(journal: Journal) -> None:
    logging.getLogger("trader").error("cannot open postgresql://ibt:hunter2@127.0.0.1/journal")
    assert "hunter2" not in journal.texts()[0]


def test_a_line_that_is_too_long_is_shortened_and_stays_json(journal: Journal) -> None:
    logging.getLogger("trader").error("x" * 100_000)
    (text,) = journal.texts()
    assert len(text) < MAX_LINE_CHARACTERS
    assert json.loads(text)["shortened"] is True


def test_stopping_gives_the_root_logger_its_handlers_back(clock: ManualClock) -> None:
    before = list(logging.getLogger().handlers), logging.getLogger().level
    journal = Journal(clock)
    assert list(logging.getLogger().handlers) != before[0]
    journal.pipeline.stop()
    journal.pipeline.stop()
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == before


def test_a_stream_that_fails_does_not_end_the_log(
    clock: ManualClock, make_fact: MakeFact, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full(io.StringIO):
        def write(self, text: str, /) -> int:
            if not self.getvalue() and "sent" not in text:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Full()
    pipeline = configure_logging("INFO", clock, stream, False)
    observe = FactLogger(pipeline).observe
    observe(make_fact(HaltRequested))
    observe(make_fact(OrderSent))
    pipeline.stop()
    assert "order sent" in stream.getvalue()
    assert "No space left" in capsys.readouterr().err


def test_the_journals_stream_is_known_by_its_device_and_inode() -> None:
    reader, writer = os.pipe()
    try:
        status = os.fstat(writer)
        assert is_journal_stream({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, writer)
        assert not is_journal_stream({"JOURNAL_STREAM": "1:2"}, writer)
        assert not is_journal_stream({}, writer)
    finally:
        os.close(reader)
        os.close(writer)
    assert not is_journal_stream({"JOURNAL_STREAM": "1:2"}, writer)
