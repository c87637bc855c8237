"""Other releases of the product, made from its wheel: the same program under another version, or one that does not run.

Rules: a wheel is rewritten, never built, so this takes a moment. What is changed is what a release may differ in; the
rest is the product's own. It needs less than the product does: to compile what only a report and the extraction of
a calendar load takes half of the time of an installation.
"""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

NAME: Final = "ibkr_trading"
NOT_NEEDED: Final = re.compile(rb"^Requires-Dist: (exchange[_-]calendars|plotly)\b.*\n", re.MULTILINE)
PROGRAM: Final = "trader/__main__.py"
WHY_IT_FAILS: Final = "this release has lost its engine"
# Commands but `run` work, so that nobody knows before it is started.
FAILS_AT_START: Final = f"""
import sys


def main() -> None:
    if "run" in sys.argv[1:2]:
        sys.exit("<3>{WHY_IT_FAILS}")
    from trader.cli import app

    app(prog_name="trader")
"""


def other_release(wheel: Path, version: str, into: Path, replaced: Mapping[str, str] | None = None) -> Path:
    """The wheel ``wheel`` as ``version`` in the folder ``into``, with the files of ``replaced`` in place of its own."""
    before = wheel.name.split("-")[1]
    old_info, new_info = (f"{NAME}-{number}.dist-info/" for number in (before, version))
    target = into / wheel.name.replace(f"-{before}-", f"-{version}-")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w") as changed:
        for name in (name for name in source.namelist() if not name.endswith("/RECORD")):
            content = (replaced or {}).get(name, "").encode() or source.read(name)
            if name == f"{old_info}METADATA":
                content = content.replace(f"\nVersion: {before}\n".encode(), f"\nVersion: {version}\n".encode())
                content = NOT_NEEDED.sub(b"", content)
            changed.writestr(name.replace(old_info, new_info), content)
        listed = [*changed.namelist(), f"{new_info}RECORD"]
        changed.writestr(listed[-1], "".join(f"{name},,\n" for name in listed))
    return target
