"""Goes through the table: each check by itself, so that one that cannot look does not end the others."""

import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from trader.doctor.model import Absent, Check, Finding, NotVisible, Report, Result, Stage, Verdict, failed, unknown
from trader.doctor.place import Place
from trader.doctor.table import CHECKS

KERNEL = Path("/proc")


def examine(place: Place, stages: Collection[Stage] = tuple(Stage), checks: Iterable[Check] = CHECKS) -> Report:
    """Every check of ``stages``, in the table's order."""
    results = tuple(_judged(place, check) for check in checks if check.stage in stages)
    return Report(at=place.host.now(), unit=place.site.unit, root=place.host.is_root, results=results)


def _judged(place: Place, check: Check) -> Result:
    finding = _look(place, check)
    return Result(
        key=check.key, stage=check.stage, item=check.item, title=check.title, verdict=finding.verdict,
        seen=finding.seen, mend=_mend(place, check, finding),
    )  # fmt: skip


def _look(place: Place, check: Check) -> Finding:
    try:
        return check.look(place)
    except NotVisible as error:
        if error.needs_root:
            return unknown(f"{error}: run it with sudo", as_root(place))
        return unknown(str(error))
    except Absent as error:
        if error.path.is_relative_to(KERNEL):  # it is always there, so it is hidden, or the process ended
            return unknown(f"{error.path} is hidden from here", as_root(place))
        return failed(str(error))
    except (ValueError, KeyError, IndexError, TypeError) as error:
        # What the host answers is not ours to vouch for: an answer in another form is not understood, no more.
        return unknown(f"the answer is not understood ({type(error).__name__}: {error})")


def as_root(place: Place) -> str:
    """This command again, as root; by its path, because ``sudo`` may know another or none."""
    instance = f" --instance {place.site.instance}" if place.site.instance else ""
    return f"sudo {_environment(place) / 'bin' / 'trader'} doctor{instance}"


def _environment(place: Place) -> Path:
    """The virtual environment that this runs in, by its shorter name when it is the current release."""
    here = Path(sys.prefix)
    try:
        return place.site.current if place.host.resolve(place.site.current) == here else here
    except (Absent, NotVisible):
        return here


def _mend(place: Place, check: Check, finding: Finding) -> str:
    """What mends it; what is not known may need no mending, so there only a way to see it is named."""
    if finding.verdict in (Verdict.OK, Verdict.UNKNOWN):
        return finding.mend
    return finding.mend or check.mend.format_map(_Names(place))


class _Names(dict[str, str]):
    """The site's attributes, for what stands in braces."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self._site = place.site

    def __missing__(self, name: str) -> str:
        return str(getattr(self._site, name))
