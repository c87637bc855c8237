"""Grafana dashboards, made from Python and from the specification of the objectives.

``build`` gives every file by its path in the checkout. Needs the extra ``dashboards`` (grafana-foundation-sdk).
Rules: a board is a module and a function of the targets; ``panels`` knows Grafana's panels, ``promql`` the queries'
building blocks, ``frame`` what all boards have and how they are stored.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final

with warnings.catch_warnings():
    # The library announces its second schema whenever the classic one, which every Grafana loads, is imported.
    warnings.simplefilter("ignore", DeprecationWarning)
    import grafana_foundation_sdk.builders.dashboard
    import grafana_foundation_sdk.builders.stat  # noqa: F401

from observability.dashboards.broker import broker
from observability.dashboards.budgets import budgets
from observability.dashboards.flow import latency
from observability.dashboards.frame import Board, encode
from observability.dashboards.host import host
from observability.dashboards.maintenance import maintenance
from observability.dashboards.money import profit
from observability.dashboards.overview import overview
from observability.dashboards.targets import Targets, load_targets

FOLDER: Final = Path("dashboards")
CHECKOUT: Final = Path(__file__).resolve().parents[2]
BOARDS: Final[tuple[Callable[[Targets], Board], ...]] = (
    overview,
    latency,
    profit,
    broker,
    budgets,
    host,
    maintenance,
)


def build(root: Path = CHECKOUT) -> dict[Path, str]:
    """Every dashboard's text by its path below ``root``. Raises SpecError when a threshold is not specified."""
    targets = load_targets(root)
    boards = [make(targets) for make in BOARDS]
    return {FOLDER / f"{board.uid}.json": encode(board) for board in boards}


__all__ = ["BOARDS", "FOLDER", "Board", "Targets", "build", "load_targets"]
