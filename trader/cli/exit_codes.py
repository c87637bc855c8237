"""Which failure of the service ends it with which exit code, for systemd to restart it or not.

Rules: 78 (``EX_CONFIG``) is what no restart can mend, because somebody has to change the configuration or what it
names; 2 is what a user can mend too, or what passes by itself: a port in use, a full disk, a gateway that refuses.
The text of each is one sentence that says what, where and what to do.
"""

import os
from typing import Final

from observability.exporter import ExporterUnavailable
from observability.tracing import TracingUnavailable
from trader.control_messages import ControlError
from trader.gateway.protocol import GatewayError
from trader.journal import JournalAddressError, JournalError
from trader.lifecycle import WrongJournalError
from trader.schedule import ScheduleError
from trader.session import BrokerWindowsError, CalendarError
from trader.settings_file import ConfigurationError, SecretError
from trader.strategy.loader import StrategyError

EXIT_MISCONFIGURED: Final = os.EX_CONFIG

CONFIGURATION_ERRORS: Final = (
    BrokerWindowsError,
    CalendarError,
    ConfigurationError,
    JournalAddressError,
    ScheduleError,
    SecretError,
    StrategyError,
    TracingUnavailable,
    WrongJournalError,
)
USER_ERRORS: Final = (
    *CONFIGURATION_ERRORS,
    ControlError,
    ExporterUnavailable,
    GatewayError,
    JournalError,
)
