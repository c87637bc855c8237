"""Weekly: what is installed against what the release ships: units, drop-ins, helpers, rules, and the configuration.

Rules: the comparison is the doctor's, in which comments do not count. Nothing is changed, because everything that is
compared is root's: what may be updated is named with its command. Files that are a person's to change (the
configuration, Prometheus's and Alertmanager's own, further drop-ins) are told and are no drift; of those that may hold
secrets only keys are told, and secrets of the configuration are starred.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from trader.doctor import Place
from trader.doctor.installed import RESTART_DROP_IN, in_memory, other_pairs, restart_pair, unit_pairs
from trader.doctor.model import Absent, NotVisible, Verdict
from trader.doctor.monitoring import rule_pairs
from trader.maintenance.context import Context
from trader.maintenance.drift_compared import Compared, State, changed_keys, compare
from trader.maintenance.measures import counted
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit
from trader.maintenance.plain import plain

KEY: Final = "drift"
TITLE: Final = "Configuration drift"
INSTALL: Final = "sudo systemd/install.sh"
RELOAD: Final = "sudo systemctl daemon-reload"
MONITORING: Final = Path("/etc/prometheus")
OF_A_PERSON: Final = ("prometheus.yml", "alertmanager.yml")
OF_THE_INSTALLER: Final = frozenset({RESTART_DROP_IN, "10-instances.conf"})
OURS: Final = "ibkr-"
DRIFTED: Final = (State.DIFFERS, State.ABSENT, State.STALE)
FILES_SHOWN: Final = 3
FILE_COLUMNS: Final = (Column("What"), Column("File"), Column("State"), Column("Lines", Unit.COUNT), Column("Mend"))
DIFF_COLUMNS: Final = (Column("File"), Column("Shipped and installed"))


def run(context: Context) -> Section:
    """Compare, and say what differs."""
    found: list[Compared] = []
    missing: list[str] = []
    for what, look in LOOKS:
        try:
            found.extend(look(context.place))
        except (NotVisible, Absent) as error:
            missing.append(f"{what}: {error}")
    return section(found, missing)


def section(found: Sequence[Compared], missing: Sequence[str]) -> Section:
    """What was compared, and what could not be."""
    drifted = [item for item in found if item.state in DRIFTED]
    hidden = [f"{item.what}: {item.why}" for item in found if item.state is State.HIDDEN]
    local = [item for item in found if item.state is State.LOCAL]
    unknown = bool(missing or hidden)
    return Section(
        key=KEY,
        title=TITLE,
        outcome=Outcome.WARNING if drifted else Outcome.UNKNOWN if unknown else Outcome.OK,
        sentence=_sentence(found, drifted),
        figures=(
            Figure(label="Compared", value=len(found), unit=Unit.COUNT),
            Figure(
                label="Drifted", value=len(drifted), unit=Unit.COUNT, bound="0",
                outcome=Outcome.WARNING if drifted else Outcome.OK,
            ),
            Figure(label="Changed by hand, as may be", value=len(local), unit=Unit.COUNT),
        ),
        tables=tuple(_tables([*drifted, *local])),
        notes=("Nothing was changed: what is installed is root's.",) if drifted else (),
        missing=(*missing, *hidden),
        mend=drifted[0].mend if drifted else "",
    )  # fmt: skip


def _sentence(found: Sequence[Compared], drifted: Sequence[Compared]) -> str:
    if not drifted:
        if not found:
            return "nothing could be compared with this release"
        return f"{counted(len(found), 'file')} compared, none drifted from this release"
    names = [f"{item.installed} {item.state}" for item in drifted[:FILES_SHOWN]]
    more = len(drifted) - len(names)
    return f"{'; '.join(names)}{f'; and {more} more' if more > 0 else ''}"


def _tables(told: Sequence[Compared]) -> Iterator[Table]:
    if not told:
        return
    rows = [(item.what, str(item.installed), str(item.state), len(item.diff), item.mend) for item in told]
    yield Table.of("Files that are not as shipped", FILE_COLUMNS, rows)
    lines = [(str(item.installed), plain(line)) for item in told for line in item.shown]
    if lines:
        yield Table.of("Differences: - shipped, + installed", DIFF_COLUMNS, lines)


# -- what is looked at


def _units(place: Place) -> Iterator[Compared]:
    pairs = unit_pairs(place)
    if not pairs:
        raise NotVisible(f"{place.shipped_units()} has none")
    yield from (compare(place.host, "unit", shipped, installed, INSTALL) for shipped, installed in pairs)


def _restarts(place: Place) -> Iterator[Compared]:
    shipped, installed = restart_pair(place)
    mend = f"sudo install -D -m 644 {shipped} {installed} && {RELOAD}"
    yield compare(place.host, "drop-in of restart delays", shipped, installed, mend)


def _helpers(place: Place) -> Iterator[Compared]:
    for shipped, installed in other_pairs(place):
        yield compare(place.host, "helper", shipped, installed, INSTALL)


def _in_force(place: Place) -> Iterator[Compared]:
    """What systemd has read; one row, and only when it is not what is on disk."""
    finding = in_memory(place)
    if finding.verdict is not Verdict.OK:
        yield Compared(
            what="units in force", installed=place.site.unit_folder, state=State.STALE, diff=(finding.seen,),
            mend=RELOAD,
        )  # fmt: skip


def _drop_ins(place: Place) -> Iterator[Compared]:
    """Drop-ins of our units that the installer did not put there."""
    folder = place.site.unit_folder
    for name in place.host.names(folder):
        if not (name.startswith(OURS) and name.endswith(".d")):
            continue
        for file in place.host.names(folder / name):
            if file not in OF_THE_INSTALLER:
                text = place.host.read(folder / name / file)
                yield Compared(
                    what="further drop-in", installed=folder / name / file, state=State.LOCAL,
                    diff=tuple(f"+{line}" for line in text.splitlines()),
                )  # fmt: skip


def _rules(place: Place) -> Iterator[Compared]:
    pairs, missing = rule_pairs(place)
    for shipped, installed in pairs:
        mend = f"sudo install -m 644 {shipped} {installed} && sudo systemctl reload prometheus"
        yield compare(place.host, "rules", shipped, installed, mend)
    folder = pairs[0][1].parent if pairs else MONITORING / "rules"
    shipped_folder = place.site.share / "alerts" / "rules"
    for name in missing:
        mend = f"sudo install -D -m 644 {shipped_folder / name} {folder / name} && sudo systemctl reload prometheus"
        yield Compared(what="rules", installed=folder / name, state=State.ABSENT, mend=mend)


def _monitoring(place: Place) -> Iterator[Compared]:
    """Prometheus's and Alertmanager's own files, which name a person's receivers and hosts: keys only."""
    for name in OF_A_PERSON:
        shipped, installed = place.site.share / "alerts" / name, MONITORING / name
        yield changed_keys(place.host, "monitoring", shipped, installed, with_values=False)


def _configuration(place: Place) -> Iterator[Compared]:
    shipped = place.site.share / "config.yaml"
    yield changed_keys(place.host, "configuration", shipped, place.site.config, with_values=True)


LOOKS: Final = (
    ("units", _units),
    ("restart delays", _restarts),
    ("helpers", _helpers),
    ("units in force", _in_force),
    ("drop-ins", _drop_ins),
    ("rules", _rules),
    ("monitoring's files", _monitoring),
    ("configuration", _configuration),
)
