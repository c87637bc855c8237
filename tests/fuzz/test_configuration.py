"""Any file at all as a configuration: settings, or one clear sentence for each mistake; and the same at a reload."""

import re
from pathlib import Path
from random import Random

import pytest
import yaml

from tests.fuzz.conftest import Campaign
from tests.fuzz.mutations import NASTY_FIELDS, bad_bytes
from trader.settings import Settings
from trader.settings_file import ConfigurationError, config_hash, effective_settings, load_settings, reload_difference

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.yaml"
SENTENCE_MAX_CHARACTERS = 1_000
PROBLEMS_MAX = 2_000
YAML_BITS = (
    "&a [*a]", "*a", "!!python/object/apply:os.system [id]", "!!binary aGk=", "!!timestamp 2020-01-01", "<<: {a: 1}",
    "? [a, b]", "---", "...", "%YAML 9.9", "{", "]", "|2", ">-", "\t", "'", '"', "a: b: c", "- - - -", "!", "0o17",
    "12:30:45", ".inf", "-.inf", ".nan", "1e999", "0x7f", "~", "ON", "2013-10-07", "=", "\u2028", "\ufeff", "\x85",
    "credential:../x", "sqlite:///", "postgresql://u:p@[::1/x", "[" * 200, "{a: " * 60, "a: &x {b: *x}", "9" * 5_000,
)  # fmt: skip
# What a traceback or a foreign library's own words would leave behind.
RAW = re.compile(r"Traceback|pydantic|<class |object at 0x|File \"", re.IGNORECASE)


def bent_lines(rng: Random, text: str) -> str:
    """The example with lines changed, moved, repeated, cut or indented."""
    lines = text.splitlines()
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        place = rng.randrange(len(lines))
        key, colon, _ = lines[place].partition(":")
        match rng.randrange(7):
            case 0 | 1 if colon:
                lines[place] = f"{key}: {rng.choice(NASTY_FIELDS + YAML_BITS)}"
            case 2:
                lines.insert(place, lines[rng.randrange(len(lines))])
            case 3:
                del lines[place]
                lines = lines or [""]
            case 4:
                lines[place] = " " * rng.randrange(9) + lines[place].strip()
            case 5:
                lines.insert(place, rng.choice(YAML_BITS))
            case _:
                lines[place] = lines[place].replace("#", "", 1)
    return "\n".join(lines)


def bent_values(rng: Random, text: str) -> str:
    """The example with values of other kinds at any depth."""
    root = yaml.safe_load(text)
    for _ in range(rng.choice((1, 2, 5))):
        inside = root
        while isinstance(inside, dict) and inside:
            key = rng.choice(list(inside))
            if not isinstance(inside[key], (dict, list)) or rng.random() < 0.3:
                inside[key] = rng.choice(
                    (None, True, -1, 0, 1e308, 10**400, "", "x" * 300, [], {}, [None], {"a": {}}, [[[]]], *NASTY_FIELDS)
                )
                break
            inside = inside[key][0] if isinstance(inside[key], list) and inside[key] else inside[key]
    return yaml.safe_dump(root, allow_unicode=True)


def content_of(rng: Random, text: str) -> bytes:
    match rng.randrange(6):
        case 0:
            return bad_bytes(rng, text.encode())
        case 1:
            return " ".join(rng.choice(YAML_BITS) for _ in range(rng.randrange(1, 12))).encode(errors="replace")
        case 2 | 3:
            return bent_values(rng, text).encode(errors="backslashreplace")
        case _:
            return bent_lines(rng, text).encode(errors="backslashreplace")


def judged(file: Path) -> tuple[Settings | None, list[str]]:
    """The settings, or what is wrong with them in sentences that a person can read."""
    try:
        return load_settings(file), []
    except ConfigurationError as error:
        said = [str(problem) for problem in error.problems]
    assert 0 < len(said) <= PROBLEMS_MAX
    for sentence in said:
        assert sentence.startswith(str(file))
        assert len(sentence) < SENTENCE_MAX_CHARACTERS, sentence
        assert not RAW.search(sentence.removeprefix(str(file))), sentence
    return None, said


async def test_any_file_is_settings_or_sentences(campaign: Campaign, tmp_path: Path) -> None:
    text, file = EXAMPLE.read_text(encoding="utf-8"), tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    good, wrong = load_settings(file), 0
    for rng in campaign.cases(150):
        file.write_bytes(content_of(rng, text))
        settings, said = judged(file)
        assert judged(file) == (settings, said), "the same file is judged the same"
        if settings is None:
            wrong += 1
            continue
        # A reload takes the file whole or not at all, and tells which keys would need a restart.
        changed, kept = reload_difference(good, settings)
        assert not set(changed) & set(kept)
        if config_hash(good) == config_hash(settings):
            assert not changed
            assert not kept
        assert effective_settings(settings)
    assert wrong > 20 or campaign.played < 100


@pytest.mark.parametrize("size", [999_999, 1_000_001])
def test_a_file_at_the_limit_of_its_size_is_judged(tmp_path: Path, size: int) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"# " + b"x" * (size - 2))
    settings, said = judged(file)
    assert settings is None
    assert len(said) == 1
