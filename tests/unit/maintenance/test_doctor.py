"""The monthly health check: the checklist as the doctor judges it, and disks, clocks, certificates, packages."""

import json
import socket
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.doctor.changes import answer, both, gone, program, setting, unit
from tests.unit.doctor.fake_host import NOW, PACKAGES, FakeHost
from tests.unit.maintenance.months import (
    PYTHON,
    SINCE,
    Answers,
    Silent,
    context_of,
    figure,
    installed,
    row,
    table,
)
from trader.doctor import CHECKS
from trader.doctor.host import Package, Ran, Room
from trader.maintenance import certificates, doctor
from trader.maintenance.certificates import Endpoint, NoAnswer, NotBelieved
from trader.maintenance.clock_offset import CHRONY, GATEWAY
from trader.maintenance.disk_use import device_of
from trader.maintenance.model import Outcome, Section
from trader.settings import Settings

GIB = 1024**3
METRICS = "9464/metrics"
INDEX = (PYTHON, "-I", "-m", "pip", "index")
LIST = (PYTHON, "-I", "-m", "pip", "list")
OUTDATED = [{"name": "PyYAML", "version": "6.0.2", "latest_version": "7.1"}]
TIMESYNC = "       Server: 10.0.0.1\n       Offset: -1.250ms\n        Delay: 2ms\n"
COMPLETE = both(
    program(*INDEX, output="aiohttp (3.11.2)\n"), program(*LIST, output=json.dumps(OUTDATED)),
    lambda host: host.programs.update({("timedatectl", "timesync-status"): Ran(0, TIMESYNC, "")}),
    answer(METRICS, 200, f"trader_ready 1.0\n{GATEWAY} 0.25\n"),
)  # fmt: skip


def disk_month(used_before: int) -> Answers:
    """A disk of which ``used_before`` bytes were used at the begin, and clocks that were never far off."""
    return Answers(
        by_text={
            "min_over_time(node_timex": [({"instance": "here"}, -0.02)],
            "max_over_time(node_timex": [({"instance": "here"}, 0.01)],
            "min_over_time(trader_broker": [({"instance": "here"}, -0.1)],
            "max_over_time(trader_broker": [({"instance": "here"}, 0.2)],
        },
        ranges={"node_filesystem": [(SINCE.timestamp(), float(used_before)), (NOW.timestamp(), 50.0 * GIB)]},
        at={("node_filesystem", SINCE): float(used_before)},
    )


def examined(tmp_path: Path, host: FakeHost | None = None, metrics: object = None) -> Section:
    return doctor.run(context_of(tmp_path, host or installed(COMPLETE), metrics=metrics or disk_month(43 * GIB)))


def test_a_healthy_month_is_ok_and_lacks_nothing(tmp_path: Path) -> None:
    section = examined(tmp_path)
    assert section.missing == ()
    assert section.outcome is Outcome.OK, section.sentence
    assert len(table(section, "Checks").rows) == len(CHECKS)
    assert certificates.NONE in section.notes


def test_the_sizes_of_our_folders_are_those_of_their_files(tmp_path: Path) -> None:
    host = installed(COMPLETE)
    for number in range(3):
        host.put(tmp_path / "logs" / "reports" / "daily" / f"{number}.json", "x" * 10**number)
    section = examined(tmp_path, host)
    found = table(section, "Folders of ours").rows
    assert found
    for folder, size_bytes, files, note in found:
        below = [file for path, file in host.files.items() if path.is_relative_to(str(folder)) and file.kind == "file"]
        assert (files, size_bytes, note) == (len(below), sum(len(file.text.encode()) for file in below), ""), folder
    assert any(files for _, _, files, _ in found)


def test_growth_and_what_it_means_are_recomputed(tmp_path: Path) -> None:
    section = examined(tmp_path)
    assert figure(section, "Used on /dev/sda1").value == 50 * GIB
    assert figure(section, "More on /dev/sda1").value == 7 * GIB
    # 7 GiB in the 28 days of February, and 50 GiB are left.
    assert figure(section, "full in").value == pytest.approx(50 / 7 * 28 * 86_400)
    assert figure(section, "full in").outcome is Outcome.OK
    assert section.charts[0].lines[0].points[0] == (SINCE, float(43 * GIB))
    assert section.charts[0].bound == 100 * GIB


def test_a_disk_that_is_full_soon_is_a_warning(tmp_path: Path) -> None:
    section = examined(tmp_path, metrics=disk_month(10 * GIB))
    assert figure(section, "full in").outcome is Outcome.WARNING
    assert section.outcome is Outcome.WARNING
    assert "/dev/sda1 full in" in section.sentence


def test_a_disk_that_gets_emptier_is_never_full(tmp_path: Path) -> None:
    section = examined(tmp_path, metrics=disk_month(60 * GIB))
    assert not [item for item in section.figures if "full in" in item.label]
    assert figure(section, "More on /dev/sda1").value == -10 * GIB


def test_a_full_disk_fails(tmp_path: Path) -> None:
    host = installed(both(COMPLETE, setting("has_room", Room(2 * GIB, 100 * GIB, 900, 1_000))))
    section = examined(tmp_path, host)
    assert figure(section, "Free on /dev/sda1").outcome is Outcome.FAILED
    assert section.outcome is Outcome.FAILED


def test_without_prometheus_growth_and_the_months_offsets_are_missing_and_no_figure_is_made_up(tmp_path: Path) -> None:
    section = examined(tmp_path, metrics=Silent())
    assert section.outcome is Outcome.OK
    told = "\n".join(section.missing)
    assert "growth of /dev/sda1: nobody answers" in told
    assert "clock against its time server, the most: nobody answers" in told
    assert "gateway's clock against ours, the most" in told
    assert not [item for item in section.figures if "More on" in item.label or "the most" in item.label]
    assert figure(section, "Used on /dev/sda1").value == 50 * GIB


def test_a_disk_that_two_hosts_have_by_that_name_is_nobodys(tmp_path: Path) -> None:
    two = Answers(by_text={"node_filesystem": [({"instance": "a"}, 1.0), ({"instance": "b"}, 2.0)]})
    section = examined(tmp_path, metrics=two)
    assert any("growth of /dev/sda1" in text and "several" in text for text in section.missing)


def test_the_clock_is_judged_by_the_larger_side(tmp_path: Path) -> None:
    answers = disk_month(43 * GIB)
    section = examined(tmp_path, metrics=answers)
    assert figure(section, "Clock against its time server, the most").value == -0.02
    assert figure(section, "Clock against its time server, now").value == pytest.approx(-0.00125)
    assert figure(section, "Gateway's clock against ours, now").value == 0.25
    answers.by_text = {**answers.by_text, "min_over_time(node_timex": [({"instance": "here"}, -0.7)]}
    assert figure(examined(tmp_path, metrics=answers), "server, the most").outcome is Outcome.FAILED


def test_a_clock_far_off_fails(tmp_path: Path) -> None:
    far = TIMESYNC.replace("-1.250ms", "+700ms")
    change = both(COMPLETE, lambda host: host.programs.update({("timedatectl", "timesync-status"): Ran(0, far, "")}))
    section = examined(tmp_path, installed(change))
    assert figure(section, "Clock against its time server, now").value == pytest.approx(0.7)
    assert section.outcome is Outcome.FAILED


def test_chrony_is_asked_where_timesyncd_does_not_run(tmp_path: Path) -> None:
    said = "Stratum         : 3\nSystem time     : 0.000120 seconds slow of NTP time\n"
    assert CHRONY.search(said)

    def change(host: FakeHost) -> None:
        COMPLETE(host)
        host.programs[("timedatectl", "timesync-status")] = Ran(1, "", "not running\n")
        host.programs[("chronyc",)] = Ran(0, said, "")

    section = examined(tmp_path, installed(change))
    assert figure(section, "Clock against its time server, now").value == pytest.approx(-0.00012)


def test_clocks_that_nobody_tells_are_missing(tmp_path: Path) -> None:
    def change(host: FakeHost) -> None:
        COMPLETE(host)
        host.programs[("timedatectl", "timesync-status")] = Ran(1, "", "")
        answer(METRICS, 200, "trader_ready 1.0\n")(host)

    section = examined(tmp_path, installed(change))
    told = "\n".join(section.missing)
    assert "neither systemd-timesyncd nor chrony" in told
    assert "the service has not measured it" in told


def test_a_check_that_fails_is_the_sections_sentence_and_its_mend(tmp_path: Path) -> None:
    section = examined(tmp_path, installed(both(COMPLETE, unit(ActiveState="failed", SubState="failed"))))
    assert section.outcome is Outcome.FAILED
    assert section.sentence.startswith("service: failed (failed)")
    assert "systemctl reset-failed" in section.mend
    assert row(section, "Checks", "service")[2] == "failed"


def test_what_the_sandbox_hides_is_not_known_and_not_failed(tmp_path: Path) -> None:
    section = examined(tmp_path, installed(both(COMPLETE, gone("/proc/meminfo"))))
    assert row(section, "Checks", "memory")[2] == "not known"
    assert section.outcome is Outcome.UNKNOWN
    assert any("/proc/meminfo is hidden from here" in text for text in section.missing)


def test_a_host_without_the_product_is_not_known_and_still_has_its_disks(tmp_path: Path) -> None:
    host = FakeHost(has_room=Room(GIB, 2 * GIB, 0, 0))
    host.put(tmp_path / "state" / "journal.db", "facts")
    section = examined(tmp_path, host, Silent())
    assert section.outcome is Outcome.UNKNOWN
    assert "not installed on this host" in section.sentence
    assert figure(section, "Used on").value == GIB


# -- packages


def test_packages_are_held_against_the_metadata_and_the_index(tmp_path: Path) -> None:
    section = examined(tmp_path)
    assert row(section, "Packages", "aiohttp") == ("aiohttp", "3.11.2", "<4,>=3.10", "3.11.2")
    assert row(section, "Packages", "pyyaml") == ("pyyaml", "6.0.2", "<7,>=6.0", "7.1")
    assert figure(section, "Packages with a newer version").value == 1
    assert figure(section, "Packages that are not as").value == 0


def test_a_package_that_is_not_as_demanded_fails(tmp_path: Path) -> None:
    old = (PACKAGES[0], Package("aiohttp", "3.9.0", ()), PACKAGES[2])
    section = examined(tmp_path, installed(both(COMPLETE, setting("installed", old))))
    assert figure(section, "Packages that are not as").outcome is Outcome.FAILED


NO_INDEX = {
    "no index": (program(*INDEX, code=1), "no package index is reachable"),
    "no pip": (lambda host: host.programs.update({INDEX: Ran(1, "", "No module named pip")}), "the release has no pip"),
    "an index that fails half-way": (program(*LIST, code=2), "pip ended with 2"),
    "a list that is none": (program(*LIST, output="{}["), "pip's list is not understood"),
}


@pytest.mark.parametrize("name", NO_INDEX)
def test_newer_versions_are_missing_and_never_none_at_all(name: str, tmp_path: Path) -> None:
    change, why = NO_INDEX[name]
    section = examined(tmp_path, installed(both(COMPLETE, change)))
    assert any(why in text for text in section.missing), section.missing
    assert not [item for item in section.figures if "newer" in item.label]
    assert row(section, "Packages", "aiohttp")[3] is None


# -- certificates


def with_endpoint(url: str) -> Settings:
    return Settings.model_validate({"instruments": ["SPY"], "tracing": {"otlp_endpoint": url}})


@pytest.mark.parametrize(
    ("days", "outcome"), [(31, Outcome.OK), (29, Outcome.WARNING), (6, Outcome.FAILED), (-1, Outcome.FAILED)]
)
def test_a_certificate_is_judged_by_the_time_that_is_left(days: int, outcome: Outcome) -> None:
    asked: list[Endpoint] = []

    def ask(endpoint: Endpoint) -> datetime:
        asked.append(endpoint)
        return NOW + timedelta(days=days)

    found = certificates.look(with_endpoint("https://traces.example:4318/v1"), NOW, ask)
    assert asked == [Endpoint("tracing.otlp_endpoint", "traces.example", 4318)]
    assert (found.figures[0].value, found.figures[0].outcome) == (days * 86_400.0, outcome)
    assert found.notes == ()


def test_a_certificate_that_is_not_believed_fails_and_who_does_not_answer_is_missing() -> None:
    def expired(endpoint: Endpoint) -> datetime:
        raise NotBelieved("certificate has expired")

    def silent(endpoint: Endpoint) -> datetime:
        raise NoAnswer("timed out")

    settings = with_endpoint("https://traces.example")
    assert certificates.look(settings, NOW, expired).figures[0].outcome is Outcome.FAILED
    found = certificates.look(settings, NOW, silent)
    assert found.figures == ()
    assert found.missing == ("certificate of tracing.otlp_endpoint (traces.example:443): timed out",)


def test_without_tls_there_is_no_certificate_and_that_is_said() -> None:
    found = certificates.look(with_endpoint("http://127.0.0.1:4318"), NOW)
    assert found == certificates.Certificates(notes=(certificates.NONE,))


def test_nobody_who_listens_is_no_certificate() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound and not listening: a connection is refused
        with pytest.raises(NoAnswer):
            certificates.shown_until(Endpoint("x", "127.0.0.1", bound.getsockname()[1]))


def test_the_device_is_that_of_the_deepest_mount() -> None:
    mounts = (
        "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n22 21 8:2 / /data\\040x rw shared:1 - xfs /dev/sdb1 rw\nnot a mount\n"
    )
    assert device_of(mounts, Path("/data x/y")) == "/dev/sdb1"
    assert device_of(mounts, Path("/data/y")) == "/dev/sda1"
    assert device_of("", Path("/")) == ""
