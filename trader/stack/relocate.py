"""An unpacked Alertmanager finds its templates.

Debian compiles the folder of Alertmanager's templates into the program, as an absolute path of an installed system.
In an unpacked tree a copy of the program gets the same path relative to the tree, of the same length, and is started
in the tree. The distribution's own file stays as it is.
"""

import os
from pathlib import Path
from typing import Final

PACKAGED: Final = Path("usr/bin/prometheus-alertmanager")
RELOCATED: Final = Path("usr/bin/alertmanager")
TEMPLATES: Final = Path("usr/share/prometheus/alertmanager/default.tmpl")
ABSOLUTE: Final = b"/usr/share/prometheus/alertmanager"
RELATIVE: Final = b"usr/share/prometheus//alertmanager"


def relocate_alertmanager(root: Path) -> None:
    """Make the copy in the tree ``root``; does nothing where there is no such program, or it is made already."""
    packaged, relocated = root / PACKAGED, root / RELOCATED
    if not packaged.exists() or relocated.exists():
        return
    assert len(ABSOLUTE) == len(RELATIVE)
    part = relocated.with_name(f"{relocated.name}.{os.getpid()}.part")
    part.write_bytes(packaged.read_bytes().replace(ABSOLUTE, RELATIVE))
    part.chmod(0o755)
    part.replace(relocated)


def working_folder(program: Path) -> Path | None:
    """The folder that ``program`` has to be started in; None when it does not matter."""
    root = program.parent.parent.parent
    return root if program == root / RELOCATED and (root / TEMPLATES).exists() else None
