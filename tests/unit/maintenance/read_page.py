"""A report's page read back: what a person sees in it, and whether a shown text is near to a value.

Rules: HTML is parsed by the standard library; a shown number is turned back into one here, with what its digits leave
open, so that a wrong unit, sign or power of ten is found.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from html.parser import HTMLParser
from typing import Any, Final

VOID: Final = {"meta", "br", "link", "input", "img"}
UNITS_S: Final = {"ms": Fraction(1, 1000), "s": 1, "min": 60, "h": 3_600, "d": 86_400}
UNITS_BYTES: Final = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: "list[Element | str]" = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    def has(self, css: str) -> bool:
        return css in self.attributes.get("class", "").split()

    def every(self, tag: str, css: str = "") -> "list[Element]":
        """All elements below, in order."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.tag == tag and (not css or child.has(css)):
                    found.append(child)
                found += child.every(tag, css)
        return found


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("root", {})
        self._open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs})
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self._open.pop().tag == tag, f"</{tag}> ends another element"

    def handle_data(self, data: str) -> None:
        self._open[-1].children.append(data)


def parsed(html: str) -> Element:
    parser = _Parser()
    parser.feed(html)
    return parser.root


def cells(table: Element) -> list[list[Element]]:
    """The rows of a table's body."""
    (body,) = table.every("tbody")
    return [row.every("td") for row in body.every("tr")]


def drawn(page: Element) -> dict[str, Any]:
    """What plotly draws, by the id of the element."""
    (data,) = [script for script in page.every("script") if script.attributes.get("id") == "report-data"]
    figures = json.loads(data.text)["figures"]
    assert isinstance(figures, dict)
    return figures


# -- texts and values


def same(shown: str, value: Any, unit: str, currency: str = "") -> bool:
    """Whether ``shown`` says ``value``, a value as the JSON has it, in the base unit of ``unit``."""
    if value is None:
        return shown == "—"
    shown = shown.replace("\N{MINUS SIGN}", "-")
    if unit == "moment":
        # Cut to milliseconds, as the text is.
        told = datetime.strptime(shown.removesuffix(" UTC") + "000" * ("." in shown), _pattern(shown)).replace(
            tzinfo=UTC
        )
        return timedelta(0) <= datetime.fromisoformat(value) - told < timedelta(milliseconds=1)
    if isinstance(value, str) and unit == "text":
        return shown == value.replace("\N{MINUS SIGN}", "-")
    number, open_ = read(shown.removesuffix(f" {currency}") if currency else shown, unit)
    return abs(number - Fraction(value)) <= open_


def _pattern(shown: str) -> str:
    return "%Y-%m-%d %H:%M:%S.%f" if "." in shown else "%Y-%m-%d %H:%M:%S"


def read(shown: str, unit: str) -> tuple[Fraction, Fraction]:
    """A shown number in its base unit, and how far the value may be from it."""
    shown = shown.replace(",", "").replace("\N{MINUS SIGN}", "-")
    match unit:
        case "ratio":
            number, open_ = _plain(shown.removesuffix(" %"))
            return number / 100, open_ / 100
        case "seconds":
            return _seconds(shown)
        case "bytes":
            text, name = shown.split(" ")
            number, open_ = _plain(text)
            return number * UNITS_BYTES[name], open_ * UNITS_BYTES[name]
        case "money":
            assert re.fullmatch(r"-?[0-9]+\.[0-9]{2}", shown), shown
            return _plain(shown)
        case "mean":
            return Fraction(shown), Fraction(1, 20)
        case _:
            return Fraction(shown), Fraction(0)


def _plain(text: str) -> tuple[Fraction, Fraction]:
    """Rounded, so half of its last digit is open; a hair more for binary fractions."""
    digits = len(text.partition(".")[2])
    return Fraction(text), Fraction(501, 1000) / 10**digits


def _seconds(shown: str) -> tuple[Fraction, Fraction]:
    parts = re.findall(r"([0-9.e+]+) ([a-z]+)", shown)
    assert " ".join(f"{number} {name}" for number, name in parts) == shown.removeprefix("-"), shown
    total = sum((Fraction(number) * UNITS_S[name] for number, name in parts), Fraction())
    number, name = parts[-1]
    smallest = Fraction(UNITS_S[name])
    # The last of two parts is cut, not rounded; milliseconds have three digits.
    open_ = smallest if len(parts) > 1 or name not in ("ms", "s") else max(_plain(number)[1] * smallest, total / 200)
    if len(parts) == 1 and name in ("min", "h", "d"):
        open_ = smallest / 60 if name != "d" else smallest / 24
    return (-total if shown.startswith("-") else total), open_ + Fraction(1, 10**9)
