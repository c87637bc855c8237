"""Whatever is written into a configuration, it is either settings or a list of problems, never a traceback."""

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trader.settings import Settings
from trader.settings_file import (
    ConfigurationError,
    Problem,
    config_hash,
    effective_settings,
    load_settings,
    reload_difference,
)
from trader.settings_file.schema import keys

EXAMPLE = Path(__file__).resolve().parents[3] / "config.example.yaml"
KEYS = sorted({".".join(str(part) for part in path) for path, _ in keys()})
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
    st.sampled_from(["live", "paper", "sqlite:///x.db", "postgresql://a:b@c/d", "~no such user/x", "1e400", "\x85"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)


def judge(file: Path) -> Settings | None:
    problems: tuple[Problem, ...] = ()
    try:
        return load_settings(file)
    except ConfigurationError as error:
        problems = error.problems
    assert problems
    assert all(str(problem).startswith(str(file)) for problem in problems)
    return None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("configuration") / "config.yaml"


@given(changes=st.dictionaries(st.sampled_from(KEYS), VALUES, min_size=1, max_size=4))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_judges_any_value_of_any_key(file: Path, changes: dict[str, object]) -> None:
    content = yaml.safe_load(EXAMPLE.read_text())
    for key, value in changes.items():
        section, _, name = key.rpartition(".")
        if section == "instruments":
            content["instruments"] = [{"symbol": "AAPL", name: value}]
        elif section:
            content[section] = {**(content[section] or {}), name: value}
        else:
            content[name] = value
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    read = judge(file)
    if read is not None:
        assert "a:b@" not in str(effective_settings(read))
        assert config_hash(read) == config_hash(load_settings(file))
        assert reload_difference(read, load_settings(file)) == ([], [])


@given(content=st.one_of(st.binary(max_size=200), st.text(alphabet="ab:-[]{}&*!|>'\"#%@? \n\t,0.", max_size=80)))
def test_it_judges_any_text(file: Path, content: bytes | str) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    judge(file)


def test_a_long_word_is_judged_at_once(file: Path) -> None:
    """A search for passwords that takes the square of a word's length would hold up a running service."""
    file.write_text(f"mode: {'x' * 500_000}\n", encoding="utf-8")
    assert judge(file) is None
