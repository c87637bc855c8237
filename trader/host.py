"""What the host tells about itself."""

from pathlib import Path

UPTIME_FILE = Path("/proc/uptime")


def uptime_s(file: Path = UPTIME_FILE) -> float | None:
    """Seconds since the host booted; None where the kernel does not say."""
    try:
        return float(file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None
