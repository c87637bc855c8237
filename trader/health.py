"""Is the service healthy: one answer, one line why. For people, timers and the start of other programs.

Rules: a raised panic flag is never healthy; the service's own word comes first; only when nobody listens on
its control socket is the exporter's ``/readyz`` asked, which may be a process of its own. No answer is not
healthy.
"""

import http.client
from collections.abc import Callable
from typing import TypeAlias

from trader.control_messages import Command, ControlError, HealthReport, NoServiceError, Response
from trader.settings import MetricsSettings, Settings

READYZ_TIMEOUT_S = 3.0
MAX_BODY_BYTES = 4_096

Ask: TypeAlias = Callable[[str], Response]


def check_health(settings: Settings, ask: Ask) -> HealthReport:
    """Health by flag, control socket (``ask`` puts a command to it) and ``/readyz``, in this order."""
    if settings.panic.flag.exists():
        return HealthReport(
            ready=False,
            reason=f"the panic flag {settings.panic.flag} is raised; when the cause is dealt with: trader resume",
        )
    try:
        return ask(Command.HEALTH).value(HealthReport)
    except NoServiceError as error:
        return _ask_readyz(settings.metrics) or HealthReport(ready=False, reason=str(error))
    except ControlError as error:
        return HealthReport(ready=False, reason=str(error))


def _ask_readyz(metrics: MetricsSettings) -> HealthReport | None:
    """What ``/readyz`` says; None when nobody answers there."""
    if metrics.port == 0:
        return None
    connection = http.client.HTTPConnection(metrics.host, metrics.port, timeout=READYZ_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read(MAX_BODY_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    reason = "; ".join(line.strip() for line in body.splitlines() if line.strip())
    return HealthReport(ready=answer.status == http.client.OK, reason=reason or f"/readyz says {answer.status}")
