"""Finds the strategy that the configuration names.

``name`` is a built-in, an entry point of the group ``ibkr_trading.strategies``, or ``package.module:Class``.
A strategy of one's own is built with ``parameters`` as keyword arguments.
"""

import importlib
from collections.abc import Callable, Collection
from importlib.metadata import entry_points
from typing import Any, TypeVar, cast

import msgspec

from trader.settings import StrategySettings
from trader.strategy import mean_reversion, observe, target_weights
from trader.strategy.api import Strategy

T = TypeVar("T", bound=msgspec.Struct)
ENTRY_POINT_GROUP = "ibkr_trading.strategies"


class StrategyError(Exception):
    """The configured strategy cannot be built; the message says what to change."""


def load_strategy(settings: StrategySettings, symbols: Collection[str]) -> Strategy:
    """Build the strategy for the configured ``symbols``; raises StrategyError with one sentence."""
    if settings.name in BUILT_IN:
        return BUILT_IN[settings.name](settings, symbols)
    factory = _find(settings.name)
    try:
        strategy = factory(**settings.parameters)
    except (TypeError, ValueError) as error:
        raise StrategyError(f"strategy {settings.name} does not accept its parameters: {error}") from error
    except Exception as error:
        raise StrategyError(f"strategy {settings.name} cannot be built: {error!r}") from error
    _require_protocol(strategy, settings.name)
    return cast(Strategy, strategy)


def _find(name: str) -> Callable[..., Any]:
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return cast(Callable[..., Any], _imported(name, entry.load))
    module_name, _, attribute = name.partition(":")
    if not attribute:
        known = ", ".join(sorted(BUILT_IN))
        raise StrategyError(f"there is no strategy {name!r}; built in are {known}, or name it package.module:Class")
    module = _imported(name, lambda: importlib.import_module(module_name))
    if not hasattr(module, attribute):
        raise StrategyError(f"strategy {name}: module {module_name} has no {attribute}")
    return cast(Callable[..., Any], getattr(module, attribute))


def _imported(name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except Exception as error:
        raise StrategyError(f"strategy {name}: its module cannot be imported ({error!r})") from error


def _require_protocol(strategy: object, name: str) -> None:
    missing = [m for m in ("on_quote", "on_schedule") if not callable(getattr(strategy, m, None))]
    if not isinstance(getattr(strategy, "name", None), str):
        missing.append("name")
    if missing:
        raise StrategyError(f"strategy {name} lacks {', '.join(missing)} (see trader/strategy/api.py)")


def _parameters(settings: StrategySettings, kind: type[T]) -> T:
    try:
        return msgspec.convert(settings.parameters, kind)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(kind))
        raise StrategyError(f"strategy.parameters of {settings.name}: {error} (known: {known})") from error


def _mean_reversion(settings: StrategySettings, symbols: Collection[str]) -> Strategy:
    return mean_reversion.MeanReversion(_parameters(settings, mean_reversion.Parameters))


def _target_weights(settings: StrategySettings, symbols: Collection[str]) -> Strategy:
    parameters = _parameters(settings, target_weights.Parameters)
    unknown = sorted(set(parameters.weights) - set(symbols))
    if unknown:
        raise StrategyError(f"strategy.parameters.weights names {', '.join(unknown)}, not among the instruments")
    if not settings.schedule:
        raise StrategyError("strategy target_weights needs a schedule (a cron expression, e.g. '35 9 * * mon-fri')")
    return target_weights.TargetWeights(parameters)


def _observe(settings: StrategySettings, symbols: Collection[str]) -> Strategy:
    return observe.Observe()


BUILT_IN: dict[str, Callable[[StrategySettings, Collection[str]], Strategy]] = {
    "mean_reversion": _mean_reversion,
    "target_weights": _target_weights,
    "observe": _observe,
}
