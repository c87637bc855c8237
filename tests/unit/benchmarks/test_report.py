"""Figures: what percentiles mean, which are left out, and how numbers are shown."""

import pytest

from benchmarks.report import Figure, Table, cells, figure, percentile, shown


def numbers(count: int) -> list[float]:
    """1 … count, not in order."""
    return [float(number) for number in (*range(2, count + 1), 1)]


def test_a_figure_of_a_thousand_samples_has_every_statistic() -> None:
    found = figure("wait", "µs", numbers(1_000))
    assert (found.minimum, found.median, found.p99, found.p999, found.maximum) == (1, 500, 990, 999, 1_000)
    assert found.samples == 1_000


@pytest.mark.parametrize(
    ("count", "p99", "p999"), [(1, None, None), (99, None, None), (100, 99.0, None), (999, 990.0, None)]
)
def test_a_percentile_that_is_no_more_than_the_maximum_is_left_out(
    count: int, p99: float | None, p999: float | None
) -> None:
    found = figure("wait", "µs", numbers(count))
    assert (found.p99, found.p999) == (p99, p999)
    assert found.maximum == count


def test_a_figure_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="wait: nothing was measured"):
        figure("wait", "µs", [])


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 10.0), (0.25, 10.0), (0.26, 20.0), (0.5, 20.0), (0.75, 30.0), (1.0, 40.0)]
)
def test_a_percentile_is_the_smallest_sample_that_its_share_does_not_exceed(share: float, expected: float) -> None:
    assert percentile([10.0, 20.0, 30.0, 40.0], share) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.001234, "0.00123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (-1.5, "-1.50"),
        (98_765.4, "98,765"),
        (float("inf"), "inf"),
    ],
)
def test_a_number_is_shown_with_three_digits(value: float | None, text: str) -> None:
    assert shown(value) == text


def table(*figures: Figure) -> Table:
    return Table(title="waits", figures=figures)


def test_columns_that_say_nothing_are_left_out() -> None:
    heading, rows = cells(table(figure("start", "s", [1.0, 2.0, 4.0])))
    assert heading == ["", "unit", "min", "median", "max", "n"]
    assert rows == [["start", "s", "1.00", "2.00", "4.00", "3"]]


def test_a_figure_without_what_others_have_shows_that_it_is_missing() -> None:
    heading, rows = cells(table(figure("ours", "µs", numbers(1_000), ratio=0.5), figure("theirs", "µs", [7.0])))
    assert heading == ["", "unit", "min", "median", "p99", "p99.9", "max", "ratio", "n"]
    assert rows[0][-2:] == ["0.50", "1,000"]
    assert rows[1][4:] == ["–", "–", "7.00", "–", "1"]
