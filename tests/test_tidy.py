"""What a linter does not check: small rooms, one clock, one door for orders, honest names, no loose ends.

Rules: everything is found by reading the sources, nothing is imported. A failure lists every place.
"""

import ast
import io
import os
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PRODUCT_FOLDERS = ("trader", "observability", "benchmarks")
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".sh", ".service", ".timer", ".conf", ".json", ".js", ".css"}
SKIPPED_FOLDERS = {".git", ".venv", ".cache", ".tools", ".hypothesis", "__pycache__", "build", "dist", "state", "logs"}

MODULE_MAX_LINES = 500
FUNCTION_MAX_LINES = 70
TEST_NAME_MIN_WORDS = 3

# Built from parts, so that this file does not contain what it looks for.
LOOSE_ENDS = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")))
MACHINE_PATH = re.compile("/" + r"(?:home|Users)/(?!USER|<|trader\b)\w+|/" + r"work/\w+")  # trader: the service's user
CLOCK_READINGS = {
    ("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time"),
    ("time", "time_ns"), ("time", "monotonic"), ("time", "monotonic_ns"),
}  # fmt: skip
MAY_READ_THE_CLOCK = {"trader/clock.py"}
MAY_APPROVE = {"trader/risk.py", "trader/risk"}
# What people look at in a terminal is printed there; all else is logged.
MAY_PRINT = ("trader/cli/", "trader/__main__.py", "trader/demo", "benchmarks/")


@cache
def sources(*folders: str) -> tuple[Path, ...]:
    return tuple(
        file
        for folder in folders
        for file in sorted((ROOT / folder).rglob("*.py"))
        if not SKIPPED_FOLDERS.intersection(file.relative_to(ROOT).parts)
    )


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def texts() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".venv")]
        for name in files:
            if Path(name).suffix in TEXT_SUFFIXES or Path(folder).name in ("scripts", ".ci"):
                yield Path(folder, name)


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(file)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def calls(file: Path) -> Iterator[tuple[int, str, str]]:
    """(line, what the function is looked up on, the function) of every call in ``file``."""
    for node in ast.walk(tree(file)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            yield node.lineno, "", node.func.id
        elif isinstance(node.func, ast.Attribute):
            owner = node.func.value
            yield node.lineno, getattr(owner, "id", getattr(owner, "attr", "")), node.func.attr


def report(problems: list[str]) -> None:
    assert not problems, "\n" + "\n".join(problems)


def test_every_module_fits_in_a_small_room() -> None:
    lengths = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in sources(*PRODUCT_FOLDERS, "tests")}
    report([f"{name_of(file)}: {count} lines" for file, count in lengths.items() if count > MODULE_MAX_LINES])


def _is_data(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether a function does nothing but return one value that is written out."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return len(body) == 1 and isinstance(body[0], ast.Return)


def test_every_function_fits_on_a_screen() -> None:
    report(
        [
            f"{name_of(file)}:{node.lineno}: {node.name} has {length} lines"
            for file in sources(*PRODUCT_FOLDERS, "tests")
            for node in functions(file)
            if (length := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_MAX_LINES
            and not _is_data(node)
        ]
    )


def test_only_the_clock_module_reads_the_clock() -> None:
    report(
        [
            f"{name_of(file)}:{line}: {owner}.{function}()"
            for file in sources("trader", "observability")
            if name_of(file) not in MAY_READ_THE_CLOCK
            for line, owner, function in calls(file)
            if (owner, function) in CLOCK_READINGS
        ]
    )


def test_only_risk_approves_an_order() -> None:
    report(
        [
            f"{name_of(file)}:{line}: Approved is constructed outside risk"
            for file in sources("trader", "observability")
            if not name_of(file).startswith(tuple(MAY_APPROVE))
            for line, _, function in calls(file)
            if function == "Approved"
        ]
    )


def test_only_the_command_line_prints() -> None:
    report(
        [
            f"{name_of(file)}:{line}: print()"
            for file in sources("trader", "observability")
            if not name_of(file).startswith(MAY_PRINT)
            for line, owner, function in calls(file)
            if (owner, function) == ("", "print")
        ]
    )


def test_every_module_opens_with_what_it_is() -> None:
    report(
        [
            f"{name_of(file)}: has no docstring"
            for file in sources(*PRODUCT_FOLDERS, "tests")
            if file.stat().st_size and not ast.get_docstring(tree(file))
        ]
    )


def _has_behaviour(node: ast.ClassDef) -> bool:
    """Whether a class does something; one that only lists values is explained by its name and its fields."""
    return any(
        isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)) and not item.name.startswith("_")
        for item in node.body
    )


def test_every_public_class_with_behaviour_says_what_it_is() -> None:
    report(
        [
            f"{name_of(file)}:{node.lineno}: {node.name} has no docstring"
            for file in sources("trader", "observability")
            for node in tree(file).body
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            if _has_behaviour(node) and not any("Enum" in ast.unparse(base) for base in node.bases)
            if not ast.get_docstring(node)
        ]
    )


def test_every_test_is_named_as_a_sentence() -> None:
    report(
        [
            f"{name_of(file)}:{node.lineno}: {node.name}"
            for file in sources("tests")
            for node in functions(file)
            if node.name.startswith("test_") and len(node.name.split("_")) - 1 < TEST_NAME_MIN_WORDS
        ]
    )


def test_no_loose_end_is_left_in_a_comment() -> None:
    problems = []
    for file in sources(*PRODUCT_FOLDERS, "tests"):
        tokens = tokenize.generate_tokens(io.StringIO(file.read_text(encoding="utf-8")).readline)
        problems += [
            f"{name_of(file)}:{token.start[0]}: {token.string}"
            for token in tokens
            if token.type == tokenize.COMMENT and LOOSE_ENDS.search(token.string)
        ]
    report(problems)


def test_no_path_of_a_particular_machine_is_written_down() -> None:
    report(
        [
            f"{name_of(file)}:{number}: {line.strip()[:100]}"
            for file in texts()
            for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), start=1)
            if MACHINE_PATH.search(line)
        ]
    )


@pytest.mark.parametrize(
    "pattern",
    ["docs/configuration.md", "trader/data/*.csv", "dashboards/*.json", "alerts/generated/*", "docs/metrics.md"],
)
def test_what_is_generated_says_that_it_is_not_to_be_edited(pattern: str) -> None:
    report([name_of(file) for file in ROOT.glob(pattern) if "DO NOT EDIT" not in file.read_text(encoding="utf-8")])


# Whether a process of its own got somewhere can only be asked again and again, with a deadline; in one place each for
# processes and for machines.
POLLERS = {"tests/e2e/conftest.py", "tests/lab/waiting.py"}


def test_no_test_sleeps() -> None:
    report(
        [
            f"{name_of(file)}:{line}: time.sleep()"
            for file in sources("tests")
            for line, owner, function in calls(file)
            if (owner, function) == ("time", "sleep") and name_of(file) not in POLLERS
        ]
    )
