"""The deployment checklist, looked at for real: what an installation needs, has, and does, with what mends it.

Rules: nothing is changed. Checks are rows of one table (``table.py``); each is a pure judgement over an injected
``Host``, so that a test needs no systemd. What cannot be seen is *not known*, never ok and never failed.
"""

from trader.doctor.host import Host
from trader.doctor.linux import LinuxHost
from trader.doctor.model import Check, Finding, Report, Result, Stage, Verdict
from trader.doctor.place import Options, Place
from trader.doctor.run import examine
from trader.doctor.site import Site, SiteError, instance_of, site_of
from trader.doctor.table import CHECKS

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Host",
    "LinuxHost",
    "Options",
    "Place",
    "Report",
    "Result",
    "Site",
    "SiteError",
    "Stage",
    "Verdict",
    "examine",
    "instance_of",
    "site_of",
]
