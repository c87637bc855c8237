"""Faults: what is told to clients when something goes wrong, and what a fault file may say."""

from decimal import Decimal

import pytest

from trader.contracts import OrderType, Side
from trader.simulator.faults import FaultInjector, Faults, FaultsFileError, LinkFault, load_faults, spoil
from trader.simulator.model import (
    CommissionReported,
    ErrorReported,
    ExecutionReported,
    OrderReported,
    OrderRequest,
    QuoteReported,
    StatusReported,
)


@pytest.fixture
def reports(floor):
    """All reports of a market order, a cancelled limit order and some quotes."""
    floor.buy(100)
    floor.buy(100, "LMT", 99)
    floor.exchange.cancel(1, 2)
    return floor.reports


def delivered(reports, **faults):
    """(delay, report) pairs of everything that reaches a client."""
    injector = FaultInjector(Faults(**faults))
    return [delivery for report in reports for delivery in injector.deliveries(report)]


def of_type(deliveries, kind):
    return [delivery for delivery in deliveries if isinstance(delivery[1], kind)]


def test_without_faults_everything_is_told_once_and_at_once(reports):
    assert delivered(reports) == [(0.0, report) for report in reports]


def test_duplicate_statuses_follow_the_first(reports):
    made = delivered(reports, duplicate_status_ratio=1)
    told = of_type(made, OrderReported | StatusReported)
    assert len(told) == 2 * sum(1 for report in reports if isinstance(report, OrderReported | StatusReported))
    assert told[0][1].order == told[1][1].order
    assert isinstance(told[1][1], StatusReported)


def test_an_order_without_callback_is_silent_to_its_end(reports):
    made = delivered(reports, no_callback_ratio=1)
    for kind in (OrderReported, StatusReported, ExecutionReported, CommissionReported, ErrorReported):
        assert of_type(made, kind) == []
    assert of_type(made, QuoteReported) != []


def test_a_late_acknowledgement_delays_the_first_report_of_an_order_only(reports):
    made = of_type(delivered(reports, late_ack_ratio=1, ack_delay_s=3), OrderReported | StatusReported)
    assert [(item.order.request.order_id, delay) for delay, item in made] == [(1, 3), (1, 0), (2, 3), (2, 0), (2, 0)]


def test_every_report_can_be_delayed(reports):
    made = delivered(reports, report_delay_s=0.2, commission_late_ratio=1, commission_delay_s=5)
    assert of_type(made, CommissionReported)[0][0] == 5.2
    assert of_type(made, ExecutionReported)[0][0] == 0.2
    assert of_type(made, QuoteReported)[0][0] == 0


def test_filled_can_come_before_the_execution(reports):
    [(delay, _)] = of_type(delivered(reports, execution_delay_ratio=1, execution_delay_s=0.5), ExecutionReported)
    assert delay == 0.5


def test_a_commission_can_be_missing_late_first_or_unset_at_first(reports):
    assert of_type(delivered(reports, commission_missing_ratio=1), CommissionReported) == []
    [(delay, _)] = of_type(delivered(reports, commission_late_ratio=1, commission_delay_s=60), CommissionReported)
    assert delay == 60
    first = delivered(reports, commission_first_ratio=1)
    assert of_type(first, CommissionReported)[0][0] < of_type(first, ExecutionReported)[0][0]
    unset = of_type(delivered(reports, commission_unset_ratio=1, commission_delay_s=2), CommissionReported)
    assert [(delay, item.amount) for delay, item in unset] == [(0, Decimal(-1)), (2, Decimal("1.000"))]


def test_order_messages_come_with_the_first_report(reports):
    made = delivered(reports, order_message_ratio=1, order_message_codes=(10349,))
    messages = [item for _, item in of_type(made, ErrorReported) if item.code == 10349]
    assert [item.request_id for item in messages] == [1, 2]


def test_orders_and_cancels_can_be_refused():
    request = OrderRequest(
        client_id=3, order_id=9, con_id=1, side=Side.BUY, quantity=Decimal(1), order_type=OrderType.MARKET
    )
    for name, code in (("reject_ratio", 201), ("reject_price_ratio", 110), ("reject_invalid_ratio", 321)):
        refusal = FaultInjector(Faults(**{name: 1})).admit(request)
        assert (refusal.client_id, refusal.request_id, refusal.code) == (3, 9, code)
    assert FaultInjector(Faults()).admit(request) is None
    assert FaultInjector(Faults(cancel_refused_ratio=1)).admit_cancel(3, 9).code == 161
    assert FaultInjector(Faults()).admit_cancel(3, 9) is None


def test_a_correction_is_off_by_ticks_against_the_client_and_is_not_corrected_again(floor):
    floor.buy(100)
    [execution] = floor.exchange.executions()
    injector = FaultInjector(Faults(correction_ratio=1, correction_ticks=2, correction_delay_s=4))
    correction = injector.correction(execution)
    assert correction == (4, execution.exec_id, Decimal("100.04"))
    corrected = floor.exchange.correct_execution(correction.exec_id, correction.price)
    assert injector.correction(corrected) is None
    assert FaultInjector(Faults()).correction(execution) is None


def test_bad_quotes_are_told_and_leave_the_book_alone(floor):
    made = of_type(delivered(floor.reports, bad_quote_ratio=1, bad_quote_kinds=("absurd",)), QuoteReported)
    assert made[0][1].event.bid == 1000
    assert floor.exchange.quote(floor.con_id("SPY")).bid == 100


def test_each_kind_of_bad_quote_is_what_it_says(floor):
    event = floor.reports[0].event
    crossed = spoil(event, "crossed")
    assert crossed.bid > crossed.ask
    assert spoil(event, "nan").bid.is_nan()
    absent = spoil(event, "absent")
    assert (absent.bid, absent.bid_size, absent.ask, absent.ask_size) == (-1, 0, -1, 0)


def test_bad_quotes_keep_to_the_sides_that_changed(floor):
    floor.quote(bid=99)
    event = floor.reports[-1].event
    for kind in ("crossed", "absurd", "nan", "absent"):
        assert spoil(event, kind).ask is None


def test_quotes_can_be_held_back(floor):
    assert delivered(floor.reports, quote_delay_s=7)[0][0] == 7


def test_the_seed_alone_decides_what_is_hit(make_floor):
    def hits(seed):
        floor = make_floor()
        floor.quote(100, "100.02", 100_000)
        for _ in range(200):
            floor.buy(1)
        made = delivered(floor.reports, seed=seed, commission_missing_ratio=0.3)
        return [item.exec_id for _, item in of_type(made, CommissionReported)]

    assert hits(1) == hits(1) != hits(2)
    assert 110 < len(hits(1)) < 170


def test_one_fault_does_not_move_another(reports):
    alone = delivered(reports, commission_missing_ratio=0.5, seed=4)
    among = delivered(reports, commission_missing_ratio=0.5, duplicate_status_ratio=1, seed=4)
    assert of_type(alone, CommissionReported) == of_type(among, CommissionReported)


def test_link_faults_come_due_once_in_order_of_time():
    faults = Faults(link=(LinkFault(at_s=30, kind="stall"), LinkFault(at_s=10, kind="disconnect", duration_s=5)))
    injector = FaultInjector(faults)
    assert injector.link_faults_due(9.9) == ()
    assert [item.kind for item in injector.link_faults_due(10)] == ["disconnect"]
    assert injector.link_faults_due(29) == ()
    assert [item.kind for item in injector.link_faults_due(100)] == ["stall"]
    assert injector.link_faults_due(1000) == ()


def test_what_an_injector_remembers_is_bounded(floor, monkeypatch):
    monkeypatch.setattr("trader.simulator.faults.MAX_REMEMBERED", 5)
    injector = FaultInjector(Faults(duplicate_status_ratio=0.5, no_callback_ratio=0.5))
    for _ in range(50):
        floor.buy(1)
    for report in floor.reports:
        injector.deliveries(report)
    assert len(injector._acknowledged) <= 5
    assert len(injector._silent_orders) <= 5
    assert len(injector._silent_executions) <= 5


def test_a_fault_file_is_yaml_or_json(tmp_path):
    path = tmp_path / "faults.yaml"
    path.write_text(
        "seed: 7\nduplicate_status_ratio: 0.1\nbad_quote_kinds: [nan, crossed]\n"
        "link:\n  - {at_s: 10, kind: upstream_lost, duration_s: 5, data_lost: true}\n"
        "  - {at_s: 60, kind: restart, roll_back_ids: 4, vanish_window_s: 1}\n"
    )
    faults = load_faults(path)
    assert (faults.seed, faults.duplicate_status_ratio) == (7, 0.1)
    assert faults.link[0].data_lost
    assert faults.link[1].roll_back_ids == 4
    path.write_text('{"seed": 7}')
    assert load_faults(str(path)) == Faults(seed=7)
    path.write_text("")
    assert load_faults(path) == Faults()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("duplicat_status_ratio: 0.1", "duplicat_status_ratio"),
        ("duplicate_status_ratio: 1.5", "<= 1.0 - at `$.duplicate_status_ratio`"),
        ("duplicate_status_ratio: often", "Expected `float`, got `str` - at `$.duplicate_status_ratio`"),
        ("link: [{at_s: 1, kind: explode}]", "'explode' - at `$.link[0].kind`"),
        ("link: [{kind: stall}]", "`at_s` - at `$.link[0]`"),
        ("link: [{at_s: 1, kind: stall, duration: 3}]", "`duration` - at `$.link[0]`"),
        ("seed: 1\nlink: [", "line 2: not valid YAML"),
        ("- 1", "Expected `object`, got `array`"),
    ],
)
def test_a_fault_file_that_is_not_understood_is_refused_with_a_sentence(tmp_path, text, words):
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(FaultsFileError) as caught:
        load_faults(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_fault_file_that_can_not_be_read_is_named(tmp_path):
    with pytest.raises(FaultsFileError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_faults(tmp_path / "nowhere.yaml")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FaultsFileError, match="not UTF-8"):
        load_faults(binary)
