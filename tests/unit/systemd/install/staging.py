"""What the installer's tests do again and again: run it, make a wheel, look at a folder.

Rules: every run stages into a folder of the test (``--root``) or only looks (``--dry-run``), so nothing of the host
changes. The product that is installed is a stand-in of one module: what is tested is the installer, not the product.
"""

import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parents[4]
INSTALL = ROOT / "systemd" / "install.sh"
TIMEOUT_S = 120
# The host's own programs: pip would ask those of a developer (rustc) who they are, and they write into HOME.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

Done: TypeAlias = subprocess.CompletedProcess[str]
Stage: TypeAlias = Callable[..., Done]


def run(*command: str | Path, **environment: str) -> Done:
    """The outcome of a command, with ``environment`` added to a plain one that has no home."""
    plain = {"PATH": PATH, "HOME": "/proc/none", **environment}
    return subprocess.run(
        [str(part) for part in command],
        env=plain, capture_output=True, text=True, check=False, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def make_wheel(folder: Path, version: str) -> Path:
    """A wheel of the product's name: one module, one program, no dependencies; the same bytes whenever it is made."""
    info = f"ibkr_trading-{version}.dist-info"
    files = {
        "trader/__init__.py": f'VERSION = "{version}"\n',
        "trader/__main__.py": "from trader import VERSION\n\n\ndef main() -> None:\n    print(VERSION)\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: ibkr-trading\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\ntrader = trader.__main__:main\n",
    }
    file = folder / f"ibkr_trading-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)  # of 1980, not of now
            entry.external_attr = 0o644 << 16
            wheel.writestr(entry, text)
    return file


def tree(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every path below ``folder``: mode, time of change in ns, and what a link names."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_mtime_ns,
            str(path.readlink()) if path.is_symlink() else "",
        )
        for path in folder.rglob("*")
    }
