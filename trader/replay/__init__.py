"""Replay of recorded data through the service's own engine, and its comparison with a run over the wire."""

from trader.replay.compare import Comparison, OrderPair, SignalPair, compare
from trader.replay.orders import OrderRecord, fold_orders
from trader.replay.result import ReplayError, ReplayResult
from trader.replay.run import run_replay
from trader.replay.summary import Drawdown, ReplaySummary, summarize

__all__ = [
    "Comparison",
    "Drawdown",
    "OrderPair",
    "OrderRecord",
    "ReplayError",
    "ReplayResult",
    "ReplaySummary",
    "SignalPair",
    "compare",
    "fold_orders",
    "run_replay",
    "summarize",
]
