"""The monitoring stack, run with the shipped files: for drills, for tests, and to look at.

Rules: Prometheus, Alertmanager and node_exporter are the real programs, found on PATH or unpacked from the
distribution's packages; nothing is installed and nothing outlives the process that started it.
"""

from trader.stack.client import RoutedAlert, RuleAlert, Sample, Series
from trader.stack.errors import ProgramsMissing, StackError
from trader.stack.inbox import Inbox, Notice
from trader.stack.packages import Release
from trader.stack.programs import Program, Programs, find_programs
from trader.stack.stack import ALERTS_FOLDER, Stack, StackOptions

__all__ = [
    "ALERTS_FOLDER",
    "Inbox",
    "Notice",
    "Program",
    "Programs",
    "ProgramsMissing",
    "Release",
    "RoutedAlert",
    "RuleAlert",
    "Sample",
    "Series",
    "Stack",
    "StackError",
    "StackOptions",
    "find_programs",
]
