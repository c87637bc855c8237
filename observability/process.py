"""The process's own metrics, also where the sandbox hides ``/proc/stat`` (``ProcSubset=pid``).

Rules: prometheus_client reads nothing else of the host than when it booted, and gives up without that; the kernel's
clock tells it as well.
"""

from prometheus_client import ProcessCollector

from trader.clock import booted_at_s


class OwnProcessCollector(ProcessCollector):
    """``process_*`` of this process; ``proc`` is ``/proc`` but in tests."""

    def __init__(self, proc: str = "/proc") -> None:
        super().__init__(proc=proc, registry=None)

    def _boot_time(self) -> float:
        return booted_at_s()
