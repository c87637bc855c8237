"""Service and units: a healthy host, a service that is down, a host without systemd, and starts by reason."""

from collections import Counter
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tests.unit.doctor.fake_host import FakeHost, healthy
from tests.unit.maintenance.days import DAY, SINCE, UNTIL, context, figure, raw, replayed, rows, table, write
from trader.doctor import CHECKS
from trader.doctor.host import Answered, Ran
from trader.events import DurableFact, ServiceStarted, ServiceStopped, StartReason
from trader.maintenance import health
from trader.maintenance.model import Outcome

UNIT = "ibkr-trading.service"
READY = "http://127.0.0.1:9464/readyz"


def started(hour: float, reason: StartReason, clean: bool = True) -> ServiceStarted:
    first = next(fact for fact in replayed() if isinstance(fact, ServiceStarted))
    at = DAY + timedelta(hours=hour)
    return msgspec.structs.replace(first, at=at, reason=reason, previous_exit_clean=clean, run_id=f"r-{hour}")


def stopped(hour: float) -> ServiceStopped:
    return ServiceStopped(at=DAY + timedelta(hours=hour), run_id="r", reason="SIGTERM", clean=True)


def lost_systemd() -> FakeHost:
    host = healthy()
    host.booted = False
    host.programs[("systemctl", "list-units")] = Ran(1, "", "System has not been booted with systemd as init system\n")
    return host


def test_a_healthy_service_and_its_units_are_well(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    section = health.run(context(tmp_path))
    assert section.outcome is Outcome.OK
    assert section.sentence == "the service and its units are well; 0 starts, 0 of them unplanned"
    assert str(figure(section, "Service").value).startswith("running")
    assert figure(section, "Ready now").value == "ready"
    assert section.missing == ()
    assert section.mend == ""
    assert rows(section, "Units")[UNIT]["State"] == "active"
    assert {row["Verdict"] for row in rows(section, "Checks").values()} == {"ok"}


def test_starts_are_those_of_the_period_by_reason(tmp_path: Path) -> None:
    starts: list[DurableFact] = [
        started(-5, StartReason.CRASH),  # before the period, which begins at 20:05 the evening before
        started(6, StartReason.DEPLOY),
        started(9, StartReason.CRASH, clean=False),
        started(9.5, StartReason.CRASH, clean=False),
        started(12, StartReason.BOOT),
        started(21, StartReason.OOM),  # after it
    ]
    path = write(tmp_path, [*replayed(), *starts, stopped(5.9)])
    section = health.run(context(tmp_path))
    every = raw(path, "ServiceStarted", SINCE, UNTIL)
    assert figure(section, "Starts").value == len(every) == 4
    unplanned = [body for body in every if body["reason"] in ("crash", "watchdog", "oom")]
    assert figure(section, "Unplanned starts").value == len(unplanned) == 2
    found = {reason: row["Starts"] for reason, row in rows(section, "Starts by reason").items()}
    assert found == dict(Counter(body["reason"] for body in every))
    assert rows(section, "Starts by reason")["crash"]["Last"] == DAY + timedelta(hours=9.5)
    assert table(section, "Stops").total == 1
    assert section.outcome is Outcome.WARNING
    assert section.sentence.endswith("4 starts, 2 of them unplanned")


def test_a_service_that_is_down_has_failed(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    host = healthy()
    host.units[UNIT] |= {"ActiveState": "failed", "SubState": "failed", "Result": "exit-code", "MainPID": "0"}
    host.urls.clear()
    section = health.run(context(tmp_path, host=host))
    assert section.outcome is Outcome.FAILED
    assert section.sentence.startswith("service: failed (failed), result exit-code, and ")
    assert "reset-failed" in section.mend
    assert figure(section, "Ready now").outcome is Outcome.WARNING
    assert rows(section, "Units")[UNIT]["State"] == "failed"


def test_a_service_that_is_not_ready_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    host = healthy()
    host.urls[READY] = Answered(503, '{"problems": ["not connected"]}')
    section = health.run(context(tmp_path, host=host))
    assert section.outcome is Outcome.WARNING
    assert section.sentence.startswith("readiness: not ready: not connected")


def test_restarts_that_systemd_counted_are_told(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    host = healthy()
    host.units[UNIT]["NRestarts"] = "3"
    section = health.run(context(tmp_path, host=host))
    assert section.outcome is Outcome.WARNING
    assert "3 times" in str(figure(section, "Restarts by systemd").value)
    assert rows(section, "Units")[UNIT]["Restarts"] == 3


def test_units_that_failed_are_listed_with_the_others(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    host = healthy()
    line = "ibkr-maintenance-weekly.service loaded failed failed IBKR weekly maintenance\n"
    host.programs[("systemctl", "list-units")] = Ran(0, line, "")
    host.units["ibkr-maintenance-weekly.service"] = {
        "LoadState": "loaded", "ActiveState": "failed", "SubState": "failed", "Result": "timeout",
    }  # fmt: skip
    section = health.run(context(tmp_path, host=host))
    row = rows(section, "Units")["ibkr-maintenance-weekly.service"]
    assert (row["State"], row["Last result"]) == ("failed", "timeout")
    assert section.outcome is Outcome.WARNING


def test_a_host_without_systemd_is_unknown_and_says_so(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    section = health.run(context(tmp_path, host=lost_systemd()))
    assert section.outcome is Outcome.UNKNOWN
    assert section.sentence.startswith("not known: service, panic flag's watch (systemd does not run this host")
    assert any("systemd does not run this host" in text for text in section.missing)
    assert figure(section, "Ready now").value == "ready"
    assert figure(section, "Starts").value == 0


def test_an_unreadable_journal_leaves_the_starts_unknown(tmp_path: Path) -> None:
    section = health.run(context(tmp_path))
    assert section.outcome is Outcome.UNKNOWN
    assert figure(section, "Starts").value is None
    assert figure(section, "Unplanned starts").value is None
    assert any(text.startswith("starts by reason: ") for text in section.missing)
    assert "start" not in section.sentence.removeprefix("the service and its units are well")


@pytest.mark.parametrize("key", health.LOOKED_AT)
def test_every_check_that_it_looks_at_is_the_doctors(key: str) -> None:
    assert key in {check.key for check in CHECKS}


def test_readiness_that_the_doctor_cannot_see_is_the_services_own_word(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    host = healthy()
    here = context(tmp_path, host=host)
    host.files.pop(here.place.site.config)
    section = health.run(here)
    ready = figure(section, "Ready now")
    assert "no service is running" in str(ready.value)
    assert ready.outcome is Outcome.WARNING
