"""Tells the running service how a job ended, so that its journal has it.

Rules: a job does not depend on it; why it was not told is in the report.
"""

from typing import Final

from trader.control import ControlClient
from trader.control_messages import Command, ControlError
from trader.maintenance.model import JobReport
from trader.settings import Settings

TIMEOUT_S: Final = 15.0


def tell_service(settings: Settings, report: JobReport) -> str:
    """Have the service journal ``MaintenanceFinished``; empty when it did, else why not."""
    try:
        ControlClient(settings.control.socket, TIMEOUT_S).call(
            Command.MAINTENANCE_FINISHED,
            kind=report.kind,
            period=report.label,
            outcome=report.outcome,
            duration_s=(report.finished_at - report.started_at).total_seconds(),
            tasks={run.task: run.section.outcome for run in report.runs},
        )
    except ControlError as error:
        return str(error)
    return ""
