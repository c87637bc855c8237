"""Orders that depend on one another: brackets, one-cancels-all groups, orders held back."""

import pytest


def bracket(floor, quantity=100, entry="MKT", limit=None, last_transmits=True):
    """Entry, profit taker at 101 and stop at 99, the first two held back until the third."""
    parent = floor.buy(quantity, entry, limit, transmit=False)
    profit = floor.sell(quantity, "LMT", "101", parent_id=parent, transmit=False)
    stop = floor.sell(quantity, "STP", aux="99", parent_id=parent, transmit=last_transmits)
    return parent, profit, stop


def test_an_order_that_is_not_transmitted_is_silent_and_not_shown(floor):
    floor.buy(100, transmit=False)
    floor.quote(100, "100.02")
    assert floor.heard() == []
    assert floor.exchange.open_orders() == ()
    assert floor.position() == 0


def test_an_order_held_back_goes_out_when_it_is_placed_again(floor):
    floor.buy(100, transmit=False)
    floor.buy(100, order_id=1)
    assert floor.heard()[:2] == ["order 1 PreSubmitted 0+100", "execution 1 BUY 100@100.02"]


def test_an_order_held_back_can_be_cancelled_silently(floor):
    floor.buy(100, "LMT", "99", transmit=False)
    floor.exchange.cancel(1, 1)
    assert floor.heard() == []
    assert floor.exchange.open_orders() == ()


def test_the_last_order_of_a_bracket_transmits_the_whole(floor):
    bracket(floor, entry="LMT", limit="99.50")
    assert floor.heard() == [
        "order 1 PreSubmitted 0+100",
        "order 1 Submitted 0+100",
        "order 2 PreSubmitted 0+100 (child)",
        "order 3 PreSubmitted 0+100 (child,trigger)",
    ]


def test_children_come_alive_when_their_parent_has_filled(floor):
    bracket(floor, entry="LMT", limit="99.50")
    floor.heard()
    floor.quote("99.40", "99.45")
    heard = floor.heard()
    assert heard[-3:] == [
        "order 2 PreSubmitted 0+100",
        "order 2 Submitted 0+100",
        "order 3 PreSubmitted 0+100 (trigger)",
    ]


def test_children_do_not_trade_before_their_parent(floor):
    bracket(floor, entry="LMT", limit="99.50")
    floor.quote("101.50", "101.52")
    assert floor.position() == 0


def test_the_exits_of_a_bracket_cancel_one_another(floor):
    bracket(floor)
    floor.heard()
    floor.quote("101.00", "101.02")
    assert "execution 2 SELL 100@101" in floor.heard()
    assert floor.position() == 0
    assert floor.status(3) == "Cancelled"


def test_the_stop_of_a_bracket_protects_and_takes_the_profit_order_along(floor):
    bracket(floor)
    floor.quote("98.90", "98.95")
    floor.trade("98.95")
    assert floor.position() == 0
    assert (floor.status(2), floor.status(3)) == ("Cancelled", "Filled")


def test_the_exits_show_their_parents_group(floor):
    parent, *_ = bracket(floor, entry="LMT", limit="99")
    views = {view.request.order_id: view for view in floor.exchange.open_orders()}
    assert views[2].request.oca_group == views[3].request.oca_group == str(views[parent].perm_id)
    assert views[2].request.oca_type == 3


def test_a_partial_exit_reduces_the_other(floor):
    bracket(floor)
    floor.quote("101.00", "101.02", size=40)
    views = {view.request.order_id: view for view in floor.exchange.open_orders()}
    assert (views[2].remaining, views[3].remaining) == (60, 60)


def test_a_cancelled_parent_takes_its_children_along(floor):
    bracket(floor, entry="LMT", limit="99")
    floor.heard()
    floor.exchange.cancel(1, 1)
    assert floor.heard() == [
        "status 1 Cancelled 0+100",
        "error 1 202",
        "status 2 Cancelled 0+100",
        "error 2 202",
        "status 3 Cancelled 0+100",
        "error 3 202",
    ]


def test_the_exits_of_a_partly_filled_and_cancelled_parent_protect_what_it_bought(floor):
    bracket(floor, quantity=1500, entry="LMT", limit="100.02")
    assert floor.position() == 1000
    floor.exchange.cancel(1, 1)
    views = {view.request.order_id: view for view in floor.exchange.open_orders()}
    assert (views[2].status, views[2].remaining) == ("Submitted", 1000)
    assert (views[3].status, views[3].remaining) == ("PreSubmitted", 1000)


def test_a_child_of_a_filled_parent_works_at_once(floor):
    parent = floor.buy(100)
    floor.sell(100, "LMT", "101", parent_id=parent)
    assert floor.status(2) == "Submitted"


def test_a_child_of_a_cancelled_parent_is_refused(floor):
    parent = floor.buy(100, "LMT", "99")
    floor.exchange.cancel(1, parent)
    floor.heard()
    floor.sell(100, "LMT", "101", parent_id=parent)
    assert floor.heard() == ["error 2 135"]


@pytest.mark.parametrize(("oca_type", "left"), [(1, []), (2, [(1, 60), (2, 60)]), (3, [(1, 60), (2, 60)])])
def test_a_partial_fill_cancels_or_reduces_its_group_by_type(floor, oca_type, left):
    floor.buy(100, "LMT", "99", oca_group="G", oca_type=oca_type)
    floor.buy(100, "LMT", "98", oca_group="G", oca_type=oca_type)
    floor.buy(100, "LMT", "97")
    floor.quote(ask="99", size=40)
    views = [(view.request.order_id, view.remaining) for view in floor.exchange.open_orders()]
    assert [view for view in views if view[0] != 3] == (left or [(1, 60)])
    assert (3, 100) in views


@pytest.mark.parametrize("oca_type", [0, 1, 2, 3])
def test_a_whole_fill_cancels_its_group(floor, oca_type):
    floor.buy(100, "LMT", "99", oca_group="G", oca_type=oca_type)
    floor.buy(100, "LMT", "98", oca_group="G", oca_type=oca_type)
    floor.quote(ask="99")
    assert (floor.status(1), floor.status(2)) == ("Filled", "Cancelled")


def test_one_event_that_reaches_a_whole_group_fills_one_of_it_only(floor):
    floor.buy(100, "LMT", "99", oca_group="G", oca_type=1)
    floor.buy(100, "LMT", "98", oca_group="G", oca_type=1)
    floor.quote(ask="97")
    assert floor.position() == 100
