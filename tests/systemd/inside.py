"""A probe in place of a unit's own program, with every other property of the unit as it is.

Rules: what a sandbox denies and what a limit stops is seen by a process that systemd started for the unit itself;
entering its namespaces would leave out the system call filter, the address filter and the limits. Afterwards the unit
is as it was.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.lab.lab import Lab
from tests.systemd import probe_host

FOLDER: Final = "/opt/lab-probe"
PYTHON: Final = "/opt/ibkr-trading/current/bin/python"
DROP_IN: Final = "95-probe"
HERE: Final = Path(__file__).parent


@contextmanager
def probed(lab: Lab, unit: str, module: str, *arguments: str, more: str = "") -> Iterator[dict[str, Any]]:
    """What ``probe`` of ``module`` found as the main process of ``unit``, which runs until the block ends.

    ``more`` are further lines of the drop-in's [Service].
    """
    copy_probe(lab, module)
    command = " ".join([PYTHON, f"{FOLDER}/probe_host.py", module, *arguments])
    lab.drop_in(unit, DROP_IN, f"[Service]\nExecStart=\nExecStart={command}\n{more}")
    try:
        lab.systemctl("reset-failed", unit, check=False)  # forgets the starts before, of which only so many may be
        lab.systemctl("restart", unit)
        yield dict(json.loads(lab.run(["curl", "-sf", f"http://127.0.0.1:{probe_host.PORT}/"]).stdout))
    finally:
        lab.remove(f"/etc/systemd/system/{unit}.d/{DROP_IN}.conf")
        lab.systemctl("daemon-reload")
        lab.systemctl("stop", unit)


def copy_probe(lab: Lab, module: str) -> str:
    """Puts ``module`` where everyone in the machine can read it; returns its path."""
    for name in ("probe_host", module):
        lab.write(f"{FOLDER}/{name}.py", (HERE / f"{name}.py").read_text(encoding="utf-8"), mode=0o644)
    return f"{FOLDER}/{module}.py"
