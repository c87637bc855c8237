"""Which settings of a drop-in make a unit's sandbox looser than the unit itself has it.

Rules: pure. Each drop-in is held against the unit's own text, key by key, by one table a kind of key. What a key that
is not listed does is not judged. A change of who the unit runs as, or of what it may become, is grave.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from trader.doctor.units import Directives
from trader.maintenance.plain import plain

ON: Final = frozenset({"yes", "true", "1", "on", "y", "t"})
OFF: Final = frozenset({"no", "false", "0", "off", "n", "f", ""})
SWITCHES: Final = frozenset(
    {
        "NoNewPrivileges", "PrivateTmp", "PrivateMounts", "PrivateDevices", "PrivateUsers", "PrivateNetwork",
        "PrivateIPC", "LockPersonality", "MemoryDenyWriteExecute", "RestrictNamespaces", "RestrictSUIDSGID",
        "RestrictRealtime", "RemoveIPC", "ProtectClock", "ProtectHostname", "ProtectKernelLogs",
        "ProtectKernelModules", "ProtectKernelTunables", "DynamicUser",
    }
)  # fmt: skip
RANKS: Final = {
    "ProtectSystem": ("no", "yes", "full", "strict"),
    "ProtectHome": ("no", "read-only", "tmpfs", "yes"),
    "ProtectControlGroups": ("no", "yes", "private", "strict"),
    "ProtectProc": ("default", "noaccess", "invisible", "ptraceable"),
    "ProcSubset": ("all", "pid"),
    "DevicePolicy": ("auto", "closed", "strict"),
    "KeyringMode": ("inherit", "shared", "private"),
}
"""From loose to strict."""
ALLOWING: Final = frozenset(
    {
        "ReadWritePaths", "BindPaths", "BindReadOnlyPaths", "ExecPaths", "DeviceAllow", "IPAddressAllow",
        "AmbientCapabilities", "CapabilityBoundingSet", "SupplementaryGroups", "RestrictAddressFamilies",
        "SystemCallFilter", "SystemCallArchitectures",
    }
)  # fmt: skip
"""Lists in which each further word allows more; a list that begins with ``~`` forbids."""
FORBIDDING: Final = frozenset(
    {
        "IPAddressDeny", "NoExecPaths", "ReadOnlyPaths", "InaccessiblePaths", "TemporaryFileSystem",
        "RestrictAddressFamilies", "SystemCallFilter", "SystemCallArchitectures", "RestrictFileSystems",
    }
)  # fmt: skip
"""Lists that an empty value takes back as a whole, so that everything is allowed again."""
LOADER_VARIABLES: Final = (
    "LD_PRELOAD=", "LD_LIBRARY_PATH=", "LD_AUDIT=", "PYTHONPATH=", "PYTHONHOME=", "PYTHONSTARTUP=",
)  # fmt: skip
GRAVE: Final = frozenset(
    {"NoNewPrivileges", "User", "Group", "AmbientCapabilities", "CapabilityBoundingSet", "DynamicUser"}
)
PRIVILEGED_PREFIXES: Final = frozenset("+!")
EXEC_PREFIXES: Final = "-+!:@|"


class Weakening(NamedTuple):
    """One setting that loosens; ``text`` is it as ``Key=value``."""

    key: str
    text: str

    @property
    def is_grave(self) -> bool:
        return self.key in GRAVE or self.key.startswith("Exec")


def weakened(unit: Directives, drop_in: Directives) -> list[Weakening]:
    """What of ``drop_in`` loosens ``unit``, in the drop-in's order."""
    return [
        Weakening(key, plain(f"{key}={value}"))
        for key, value in drop_in.pairs
        if _loosens(key, value, unit.all(key))
    ]  # fmt: skip


def _loosens(key: str, value: str, before: Sequence[str]) -> bool:
    last = before[-1] if before else ""
    if key in SWITCHES:
        return last.lower() in ON and value.lower() not in ON and value != "disconnected"
    if key in RANKS:
        return _rank(key, value) < _rank(key, last)
    if key in FORBIDDING and not value:
        return bool(before)
    if key in ALLOWING:
        return _allows_more(value, before)
    if key in ("User", "Group"):
        return value != last
    if key == "UMask":
        return _umask_is_looser(value, last)
    if key == "LimitCORE":
        return last == "0" and value != "0"
    if key == "Environment":
        return any(variable in value for variable in LOADER_VARIABLES)
    return key.startswith("Exec") and _is_privileged(value)


def _rank(key: str, value: str) -> int:
    """How strict; the loosest when it is not set, or not known."""
    told = value.lower()
    word = "yes" if told in ON else "no" if told in OFF else told
    ranks = RANKS[key]
    return ranks.index(word) if word in ranks else 0


def _allows_more(value: str, before: Sequence[str]) -> bool:
    if not value or value == "none":
        return False
    if value.startswith("~"):
        return value == "~"  # nothing is forbidden: everything is allowed
    known = {word for text in before if not text.startswith("~") for word in text.split()}
    return not set(value.split()) <= known


def _umask_is_looser(value: str, before: str) -> bool:
    try:
        return bool(int(before or "022", 8) & ~int(value or "022", 8))
    except ValueError:
        return True


def _is_privileged(command: str) -> bool:
    """``+`` runs it as root outside of the sandbox, ``!`` as root inside."""
    prefix = command[: len(command) - len(command.lstrip(EXEC_PREFIXES))]
    return bool(PRIVILEGED_PREFIXES & set(prefix))
