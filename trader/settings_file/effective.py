"""Settings in force: shown without secrets, identified by a hash, compared for a reload."""

import hashlib
import json
from typing import Any, Final

from trader.settings import Settings
from trader.settings_file.problems import KeyPath, dotted
from trader.settings_file.schema import is_reloadable, keys
from trader.settings_file.wording import MASK, SECRET_NAME, without_password

HASH_LENGTH: Final = 12


def effective_settings(settings: Settings) -> dict[str, Any]:
    """Every key with its value, defaults included, as plain values; passwords are masked."""
    masked = _masked(settings.model_dump(mode="json"))
    assert isinstance(masked, dict)
    return masked


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, dict):
        return {key: _masked(item, str(key)) for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, name) for item in value]
    if value is not None and SECRET_NAME.search(name) and not name.endswith("_file"):
        return MASK
    return without_password(value) if isinstance(value, str) else value


def config_hash(settings: Settings) -> str:
    """Twelve hexadecimal digits that differ when the settings differ in anything but a secret."""
    text = json.dumps(effective_settings(settings), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]


def reload_difference(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """What a reload from ``old`` to ``new`` would change.

    Returns the keys that change and may, and one sentence for each key that changes but needs a restart.
    """
    changed: list[str] = []
    problems: list[str] = []
    for path in _differing(old, new):
        if is_reloadable(path):
            changed.append(dotted(path))
        else:
            before, after = (_brief(effective_settings(each), path) for each in (old, new))
            problems.append(f"{dotted(path)} cannot change while the service runs ({before} → {after}): restart it")
    return changed, problems


def _differing(old: Settings, new: Settings) -> list[KeyPath]:
    paths = dict.fromkeys(path if path[0] != "instruments" else path[:1] for path, _ in keys())
    return [path for path in paths if _value(old, path) != _value(new, path)]


def _value(settings: Any, path: KeyPath) -> Any:
    for part in path:
        settings = settings[part] if isinstance(settings, dict) else getattr(settings, str(part))
    return settings


def _brief(values: dict[str, Any], path: KeyPath) -> str:
    value = _value(values, path)
    if path == ("instruments",):
        value = ", ".join(item["symbol"] for item in value)
    text = "not set" if value is None or value == "" else str(value)
    return text if len(text) <= 60 else text[:57] + "…"
