"""Metrics in files: the format, and that a reader never sees half of one."""

import math
import stat
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from trader.textfile import Gauge, Sample, TextfileError, render, write

ROOM = Gauge("room_temperature_celsius", "How warm it is.", (Sample(21.5, {"room": "a"}), Sample(-1, {"room": "b"})))


def test_it_writes_what_prometheus_reads() -> None:
    (family,) = text_string_to_metric_families(render([ROOM]))
    assert (family.name, family.type, family.documentation) == (ROOM.name, "gauge", ROOM.help)
    assert [(sample.labels["room"], sample.value) for sample in family.samples] == [("a", 21.5), ("b", -1.0)]


def test_a_label_may_contain_anything() -> None:
    name = 'a "quoted" \\ and\nbroken'
    (family,) = text_string_to_metric_families(render([Gauge("g", "line\nline", (Sample(1, {"name": name}),))]))
    assert family.samples[0].labels == {"name": name}


def test_a_number_is_written_with_all_its_digits() -> None:
    (family,) = text_string_to_metric_families(render([Gauge("g", "", (Sample(1795444200.123456),))]))
    assert family.samples[0].value == 1795444200.123456


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_left_out(unknown: float) -> None:
    assert render([Gauge("g", "", (Sample(unknown),))]) == ""


def test_a_file_is_replaced_as_a_whole_and_readable_by_everyone(tmp_path: Path) -> None:
    file = tmp_path / "room.prom"
    file.write_text("old", encoding="utf-8")
    write(file, [ROOM])
    assert file.read_text(encoding="utf-8") == render([ROOM])
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [file]


def test_it_refuses_a_name_that_the_collector_does_not_read(tmp_path: Path) -> None:
    with pytest.raises(TextfileError, match=r"only files whose names end in \.prom"):
        write(tmp_path / "room.txt", [ROOM])


def test_it_says_which_file_could_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "missing" / "room.prom"
    with pytest.raises(TextfileError, match="cannot be written") as caught:
        write(file, [ROOM])
    assert str(file) in str(caught.value)
