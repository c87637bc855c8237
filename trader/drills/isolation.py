"""Keeps drills away from the live service: its gateway, its books, its panic flag, its sockets.

Rules: pure but for where paths lead; asked of the very file that a drill's processes will read, before they start. What
is not certainly apart is refused, also when no live configuration is known.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from trader.contracts import TradingMode
from trader.drills.errors import DrillError
from trader.settings import Settings

GATEWAY_PORTS: Final = frozenset({4001, 4002, 7496, 7497})
"""Where IB Gateway and TWS listen unless told otherwise."""
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
SQLITE: Final = "sqlite:///"


def require_isolated(drill: Settings, live: Settings | None, *folders: Path) -> None:
    """Raise DrillError when ``drill`` could touch what is not in ``folders``, or what ``live`` uses."""
    problems = [*_by_itself(drill, folders), *(_beside(drill, live, folders) if live is not None else ())]
    if problems:
        raise DrillError(f"the drill is refused, because it could reach the live service: {'; '.join(problems)}")


def _by_itself(drill: Settings, folders: tuple[Path, ...]) -> Iterator[str]:
    if drill.mode is not TradingMode.SIMULATED:
        yield f"its mode is {drill.mode}"
    if drill.account:
        yield f"it names the account {drill.account}"
    if drill.gateway.host not in LOOPBACK:
        yield f"its gateway is on {drill.gateway.host}"
    if drill.gateway.port in GATEWAY_PORTS:
        yield f"port {drill.gateway.port} is where a real gateway listens"
    if not drill.journal.url.startswith(SQLITE):
        yield "its journal is not a file"
    if drill.policy.token_file is not None:
        yield "it has a policy token"
    for name, path in _paths(drill).items():
        if not any(_is_in(path, folder) for folder in folders):
            yield f"its {name} {path} is outside of its folder"


def _beside(drill: Settings, live: Settings, folders: tuple[Path, ...]) -> Iterator[str]:
    if drill.gateway.port == live.gateway.port:
        yield f"port {drill.gateway.port} is the live gateway's"
    ours, theirs = _client_ids(drill), _client_ids(live)
    for client_id in sorted(ours & theirs):
        yield f"clientId {client_id} is the live service's"
    if drill.metrics.port == live.metrics.port != 0:
        yield f"port {drill.metrics.port} is where the live service's metrics are"
    if drill.journal.url == live.journal.url:
        yield "its journal is the live one"
    for name, path in _paths(live).items():
        if any(_is_in(path, folder) for folder in folders):
            yield f"the live {name} {path} is in the drill's folder"


def free_client_ids(live: Settings | None) -> tuple[int, int, int]:
    """Client ids for a drill's service, its panic, and the one who asks the broker afterwards."""
    taken = _client_ids(live) if live is not None else frozenset()
    first, second, third = [number for number in range(701, 707) if number not in taken][:3]
    return first, second, third


def _client_ids(settings: Settings) -> frozenset[int]:
    return frozenset({settings.gateway.client_id, settings.gateway.panic_client_id})


def _paths(settings: Settings) -> dict[str, Path]:
    """What the service writes or listens on."""
    found = {"panic flag": settings.panic.flag, "control socket": settings.control.socket}
    if settings.journal.url.startswith(SQLITE):
        found["journal"] = Path(settings.journal.url.removeprefix(SQLITE).partition("?")[0])
    if settings.recorder.directory is not None:
        found["recordings"] = settings.recorder.directory
    return found


def _is_in(path: Path, folder: Path) -> bool:
    """Whether ``path`` leads into ``folder``, with links followed."""
    return path.resolve().is_relative_to(folder.resolve())
