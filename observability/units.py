"""Template units for several accounts on one host, made from the plain units.

Rules: a template says exactly what its plain unit says, but for the folder, the names and the run directory of its
instance. A text that is to be replaced and is not there is an error: a template that shared its books with another
instance would start without a complaint.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

FOLDER: Final = Path("systemd")
BASE: Final = "/home/trader/secure/trader/IBKR_trading"
INSTANCE_BASE: Final = f"{BASE}/instances/%i"
# By plain unit: what is replaced in it, in this order. What all of them have in common is in ``_COMMON``.
REPLACED: Final[Mapping[str, tuple[tuple[str, str], ...]]] = MappingProxyType(
    {
        "ibkr-trading.service": (
            ("Description=IBKR trading service", "Description=IBKR trading service of %i"),
            ("RuntimeDirectory=ibkr-trading\n", "RuntimeDirectory=ibkr-trading-%i\n"),
            (" -/run/ibkr-trading\n", " -/run/ibkr-trading-%i\n"),
            ("SyslogIdentifier=ibkr-trading", "SyslogIdentifier=ibkr-trading-%i"),
        ),
        "ibkr-panic.path": (
            ("Description=IBKR panic flag", "Description=IBKR panic flag of %i"),
            ("Unit=ibkr-panic.service", "Unit=ibkr-panic@%i.service"),
        ),
        "ibkr-panic.service": (
            ("Description=IBKR panic: flatten the account", "Description=IBKR panic: flatten the account of %i"),
            ("SyslogIdentifier=ibkr-panic", "SyslogIdentifier=ibkr-panic-%i"),
        ),
    }
)
_COMMON: Final = ((BASE, INSTANCE_BASE),)


class UnitTemplateError(Exception):
    """A plain unit does not hold what its template replaces; the text says which and what."""


def render(root: Path) -> Mapping[Path, str]:
    """The template units of the checkout ``root``, by path below it; raises UnitTemplateError."""
    return {FOLDER / template_name(name): template(name, _plain(root, name)) for name in REPLACED}


def template_name(name: str) -> str:
    """``ibkr-trading.service`` → ``ibkr-trading@.service``."""
    stem, _, kind = name.rpartition(".")
    return f"{stem}@.{kind}"


def template(name: str, plain: str) -> str:
    """The template made from the text of the plain unit ``name``; raises UnitTemplateError."""
    text = plain
    for old, new in (*_COMMON, *REPLACED[name]):
        if old not in text:
            raise UnitTemplateError(f"{FOLDER / name} does not say {old.strip()!r}, which its template replaces")
        text = text.replace(old, new)
    return f"# DO NOT EDIT, made from {name} by: trader generate\n#\n{_about(name)}\n{text}"


def _about(name: str) -> str:
    unit = template_name(name).replace("@.", "@NAME.")
    return f"# {unit}: one of several accounts, each with its folder instances/NAME, ports and client ids.\n#"


def _plain(root: Path, name: str) -> str:
    try:
        return (root / FOLDER / name).read_text(encoding="utf-8")
    except OSError as error:
        raise UnitTemplateError(f"{FOLDER / name} cannot be read: {error.strerror or error}") from error
