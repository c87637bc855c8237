"""What charts look like: colours of data, which are fixed and readable on light and on dark, and the two templates."""

from typing import Any, Final

BLUE: Final = "#3b7dd8"
GREY: Final = "#8a94a3"
GREEN: Final = "#1f9d61"
RED: Final = "#d64545"
AMBER: Final = "#c98a1b"
LINES: Final = (BLUE, AMBER, GREEN, RED, "#8b62c9", "#2a9fb0", GREY, "#b0567f")
"""For charts of several lines, in order."""
FONT: Final = 'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def templates() -> dict[str, Any]:
    """The light and the dark template, as plain values for the page's script."""
    return {
        "light": _template(text="#3a4350", grid="#e6e9ee", zero="#b7bfca", hover="#ffffff"),
        "dark": _template(text="#b9c2ce", grid="#262d38", zero="#4a5464", hover="#1c222b"),
    }


def _template(text: str, grid: str, zero: str, hover: str) -> dict[str, Any]:
    axis = {
        "gridcolor": grid, "zerolinecolor": zero, "linecolor": zero, "zerolinewidth": 1, "tickcolor": zero,
        "title": {"standoff": 8, "font": {"size": 12}},
    }  # fmt: skip
    return {
        "layout": {
            "font": {"family": FONT, "size": 12, "color": text},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "hoverlabel": {"bgcolor": hover, "bordercolor": zero, "font": {"color": text, "family": FONT}},
            "xaxis": {**axis, "showgrid": False},
            "yaxis": axis,
        }
    }
