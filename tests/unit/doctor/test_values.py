"""Values of systemd, of unit files, of versions and of the kernel's tables, read."""

from datetime import UTC, datetime

import pytest

from tests.unit.doctor.fake_host import TCP_HEADER, listening
from trader.doctor.health import samples
from trader.doctor.installed import differences
from trader.doctor.network import listeners
from trader.doctor.software import fits
from trader.doctor.system import _mount_of
from trader.doctor.units import INFINITE, count, directives, moment_of, processors, quota_cores, size_bytes, span_s
from trader.doctor.words import amount, seconds, some


def test_a_unit_file_is_read_with_its_continued_lines_and_resets() -> None:
    found = directives(
        "[Service]\n# Nice=5\nExecStart=/bin/a \\\n  --option\nCPUAffinity=0-3\nCPUAffinity=\nCPUAffinity=1\n"
    )
    assert found.last("ExecStart") == "/bin/a    --option"
    assert found.all("CPUAffinity") == ["1"]
    assert found.last("Nice") is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8G", 8 * 1024**3),
        ("512M", 512 * 1024**2),
        ("0", 0),
        ("infinity", INFINITE),
        (str(2**64 - 1), INFINITE),
        ("lots", None),
    ],
)
def test_a_size_is_read_as_systemd_writes_it(text: str, value: float | None) -> None:
    assert size_bytes(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4s", 4),
        ("500ms", 0.5),
        ("1min 30s", 90),
        ("infinity", INFINITE),
        ("", None),
        ("soon", None),
        ("4 parsecs", None),
    ],
)
def test_a_span_is_read_as_systemd_writes_it(text: str, value: float | None) -> None:
    assert span_s(text) == value


def test_what_is_not_understood_is_not_guessed() -> None:
    assert quota_cores("four") is None
    assert count("many") is None
    assert processors("0-x") is None
    assert moment_of("n/a") is None
    assert moment_of("") is None


def test_processors_quotas_and_moments_are_read() -> None:
    assert processors("0,2-3 5") == {0, 2, 3, 5}
    assert quota_cores("400%") == 4.0
    assert count("65536:65536") == 65_536
    assert moment_of("Sun 2026-11-22 16:05:00 UTC") == datetime(2026, 11, 22, 16, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("version", "bounds", "fit"),
    [
        ("3.10", ">=3.10,<4", True), ("3.9.9", ">=3.10,<4", False), ("4.0.1", ">=3.10,<4", False),
        ("2.0.0", "==2.0", True),
        ("1.4.2", "~=1.4", True), ("2.0", "~=1.4", False), ("1.4.9", "~=1.4.2", True), ("1.5", "~=1.4.2", False),
        ("2.1", "!=2.1", False), ("2.1.7", "==2.1.*", True), ("2.2", "==2.1.*", False), ("2.0", "!=2.1.*", True),
        ("1.0", "", True), ("1.0", "===1.0", True), ("2.0", ">1.9", True), ("2.0", "<=1.9", False),
    ],
)  # fmt: skip
def test_a_version_fits_its_bounds(version: str, bounds: str, fit: bool) -> None:
    assert fits(version, bounds) is fit


def test_listening_sockets_of_both_families_are_read() -> None:
    mapped = listening("0000000000000000FFFF00000100007F", 9464, 995)
    everywhere = listening("0" * 32, 4002, 0)
    loopback = listening("00000000000000000000000001000000", 1, 0)
    other = mapped.replace(" 0A ", " 01 ")
    found = list(listeners(TCP_HEADER + mapped + everywhere + loopback + other))
    assert [(str(item), item.is_loopback, item.uid) for item in found] == [
        ("127.0.0.1:9464", True, 995),
        ("[::]:4002", False, 0),
        ("[::1]:1", True, 0),
    ]


def test_the_innermost_and_last_mount_is_the_one_that_counts() -> None:
    from pathlib import Path

    table = (
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 8:2 / /srv rw - xfs /dev/sdb1 ro\n"
        "3 2 0:1 / /srv/my\\040files rw shared:1 - tmpfs tmpfs rw\n4 1 8:3 / /srv rw - btrfs /dev/sdc1 rw\n"
    )
    assert _mount_of(table, Path("/srv/trader"))[0] == "btrfs"
    assert _mount_of(table, Path("/srv/my files/x"))[0] == "tmpfs"
    assert _mount_of(table, Path("/var")) == ("ext4", frozenset({"rw"}))
    assert _mount_of("", Path("/var"))[0] == "unknown"


def test_samples_are_found_by_name_and_by_labels() -> None:
    found = samples('# HELP x y\nx{task="a b"} 1.5\nx{task="c"} 2\nnot a number\n')
    assert found == {'x{task="a b"}': 1.5, "x": 2.0, 'x{task="c"}': 2.0}


def test_units_differ_by_what_they_set_and_not_by_comments() -> None:
    assert differences("# one\n[Service]\nNice=5\n", "[Service]\n\nNice=5\n# two\n") == []
    assert differences("[Service]\nNice=5\n", "[Service]\nNice=6\n") == ["-Nice=5", "+Nice=6"]


def test_amounts_and_spans_are_said_shortly() -> None:
    assert [amount(value) for value in (12, 2048, 8 * 1024**3)] == ["12 B", "2.0 KiB", "8.0 GiB"]
    assert [seconds(value) for value in (30, 90, 300, 7_200, 259_200)] == ["30 s", "90 s", "5 min", "2 h", "3 d"]
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
