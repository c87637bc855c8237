"""Monthly: the whole health check, and what it does not ask: how disks fill, clocks, certificates, packages.

Rules: nothing is changed. The checks are those of ``trader doctor``, judged alike; a figure that cannot be got is
missing and named.
"""

from typing import Final

from trader.doctor import examine
from trader.maintenance import certificates, clock_offset, disk_use, packages
from trader.maintenance.context import Context
from trader.maintenance.model import Outcome, Section
from trader.maintenance.verdicts import is_installed, not_installed, section_of

KEY: Final = "doctor"
TITLE: Final = "Whole health check"


def run(context: Context) -> Section:
    """Every check of the deployment checklist, and the month's figures."""
    place = context.place
    disks, clocks = disk_use.look(context), clock_offset.look(context)
    shown = certificates.look(context.settings, context.clock.now())
    software = packages.look(place)
    parts = (disks, clocks, shown, software)
    installed = is_installed(place)
    lacks = [] if installed else list(not_installed(KEY, TITLE, place).missing)
    return section_of(
        KEY, TITLE, examine(place).results if installed else (),
        (*disks.tables, *shown.tables, *software.tables), disks.charts,
        fine="the deployment is as it has to be" if installed else lacks[0],
        figures=[figure for part in parts for figure in part.figures],
        notes=shown.notes, missing=[*lacks, *(text for part in parts for text in part.missing)],
        other=(Outcome.OK if installed else Outcome.UNKNOWN,),
    )  # fmt: skip
