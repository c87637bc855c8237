"""Small changes to the healthy host: what may be wrong with one, in a word each."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tests.unit.doctor.fake_host import NOW, TCP_HEADER, UNIT_FOLDER, FakeHost
from trader.doctor import Verdict, site_of
from trader.doctor.host import Answered, Ran

UNIT = "ibkr-trading.service"
SITE = site_of(FakeHost())
HOUR_OLD = NOW - timedelta(hours=1)
OK, WARNING, FAILED, UNKNOWN = Verdict.OK, Verdict.WARNING, Verdict.FAILED, Verdict.UNKNOWN
Change = Callable[[FakeHost], object]


class Scenario(NamedTuple):
    """The check, what is changed, the verdict, and words of what is seen and of what mends it (empty: no mend)."""

    check: str
    change: Change
    verdict: Verdict
    seen: str
    mend: str


def unit(**changes: str) -> Change:
    return lambda host: host.units[UNIT].update(changes)


def other_unit(name: str, **changes: str) -> Change:
    return lambda host: host.units[name].update(changes)


def file(path: Path | str, text: str | None = None, **changes: Any) -> Change:
    def change(host: FakeHost) -> None:
        found = host.file(Path(path))
        host.files[host.resolved(Path(path))] = replace(found, **({} if text is None else {"text": text}), **changes)

    return change


def new_file(path: Path | str, text: str, **changes: Any) -> Change:
    return lambda host: host.put(Path(path), text, **changes)


def gone(path: Path | str) -> Change:
    return lambda host: host.files.pop(host.resolved(Path(path)))


def program(*command: str, code: int = 0, output: str = "") -> Change:
    return lambda host: host.programs.update({command: Ran(code, output, "")})


def account(**changes: Any) -> Change:
    return lambda host: host.accounts.update(trader=host.accounts["trader"]._replace(**changes))


def setting(name: str, value: object) -> Change:
    return lambda host: setattr(host, name, value)


def answer(url: str, status: int, body: str) -> Change:
    return lambda host: host.urls.update({f"http://127.0.0.1:{url}": Answered(status, body)})


def silent(url: str) -> Change:
    return lambda host: host.urls.pop(f"http://127.0.0.1:{url}")


def tcp(*lines: str) -> Change:
    return file("/proc/net/tcp", TCP_HEADER + "".join(lines))


def shipped(name: str, old: str, new: str) -> Change:
    return lambda host: file(UNIT_FOLDER / name, host.read(UNIT_FOLDER / name).replace(old, new))(host)


def both(*changes: Change) -> Change:
    return lambda host: [change(host) for change in changes]
