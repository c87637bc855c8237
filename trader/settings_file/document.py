"""A YAML file as plain values, with the line of every key.

Rules: YAML's surprises are off. Only ``true`` and ``false`` are booleans (``ON`` is a ticker), dates and
``12:30`` are text, a key may be written once, aliases may not form a loop, and the size is bounded.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from trader.settings_file.problems import ConfigurationError, KeyPath, Problem, dotted

FILE_MAX_BYTES: Final = 1_000_000
NODES_MAX: Final = 50_000
DEPTH_MAX: Final = 50
PLAIN_TAGS: Final = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
EXAMPLE: Final = "config.example.yaml is a complete one to start from"


class PlainLoader(yaml.SafeLoader):
    """Reads scalars as YAML 1.2 does."""


PlainLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|[-+]?\.[0-9]+([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
):
    PlainLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


class Document:
    """The values of a file, the line of every key path, and what was wrong with its form."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: Any = None
        self.problems: list[Problem] = []
        self._lines: dict[KeyPath, int] = {}
        self._nodes = 0

    def line_of(self, path: KeyPath) -> int | None:
        """The line of ``path``, or of the nearest section around it that is in the file."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path)

    def problem(self, path: KeyPath, text: str) -> Problem:
        """A problem with the key at ``path``."""
        return Problem(self.file, self.line_of(path), dotted(path), text)

    def fill(self, loader: PlainLoader, root: yaml.Node) -> None:
        """Take the values of a parsed file."""
        self.values = self._value(loader, root, (), ())

    def _value(self, loader: PlainLoader, node: yaml.Node, path: KeyPath, around: tuple[int, ...]) -> Any:
        self._nodes += 1
        self._lines.setdefault(path, node.start_mark.line + 1)
        if id(node) in around or len(around) > DEPTH_MAX or self._nodes > NODES_MAX:
            line = node.start_mark.line + 1
            raise ConfigurationError([Problem(self.file, line, dotted(path), "nests too deep, or contains itself")])
        around = (*around, id(node))
        if isinstance(node, yaml.CollectionNode) and node.tag not in PLAIN_TAGS:
            line = node.start_mark.line + 1
            self.problems.append(Problem(self.file, line, dotted(path), f"has the tag {node.tag}; remove it"))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(loader, node, path, around)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(loader, item, (*path, index), around) for index, item in enumerate(node.value)]
        try:
            return loader.construct_object(node)
        except ValueError as error:
            line = node.start_mark.line + 1
            raise ConfigurationError([Problem(self.file, line, dotted(path), f"cannot be read: {error}")]) from error

    def _mapping(
        self, loader: PlainLoader, node: yaml.MappingNode, path: KeyPath, around: tuple[int, ...]
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                self.problems.append(Problem(self.file, line, dotted(path), "a key must be plain text"))
                continue
            key = str(key_node.value)
            here = (*path, key)
            if key in values:
                text = f"is written twice (first in line {self._lines[here]}); remove one"
                self.problems.append(Problem(self.file, line, dotted(here), text))
                continue
            self._lines[here] = line
            values[key] = self._value(loader, value_node, here, around)
        return values


def read_document(file: Path) -> Document:
    """Read a YAML file that holds one mapping; raises ConfigurationError when it does not."""
    text = _read_text(file)
    document = Document(file)
    loader: PlainLoader | None = None
    try:
        loader = PlainLoader(text)
        root = loader.get_single_node()
        if root is None:
            raise ConfigurationError([Problem(file, None, "", f"is empty; {EXAMPLE}")])
        if not isinstance(root, yaml.MappingNode):
            line = root.start_mark.line + 1
            raise ConfigurationError([Problem(file, line, "", f"must consist of 'key: value' lines; {EXAMPLE}")])
        document.fill(loader, root)
    except yaml.YAMLError as error:
        raise ConfigurationError([_syntax_problem(file, error)]) from error
    except RecursionError as error:
        raise ConfigurationError([Problem(file, None, "", "nests too deep to be a configuration")]) from error
    finally:
        if loader is not None:
            loader.dispose()
    return document


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(FILE_MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise ConfigurationError([Problem(file, None, "", f"there is no such file; {EXAMPLE}")]) from error
    except OSError as error:
        raise ConfigurationError([Problem(file, None, "", f"cannot be read: {error.strerror or error}")]) from error
    if len(content) > FILE_MAX_BYTES:
        raise ConfigurationError([Problem(file, None, "", f"is larger than {FILE_MAX_BYTES} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ConfigurationError([Problem(file, line, "", "is not UTF-8 text; save it as UTF-8")]) from error


def _syntax_problem(file: Path, error: yaml.YAMLError) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be parsed"
    line = mark.line + 1 if mark is not None else None
    column = f" (column {mark.column + 1})" if mark is not None else ""
    advice = (
        "; indent with spaces" if "'\\t'" in what else "; check indentation, quotes and brackets here or just above"
    )
    return Problem(file, line, "", f"is not valid YAML: {what}{column}{advice}")
