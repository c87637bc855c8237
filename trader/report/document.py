"""One HTML file that needs nothing else: styles, the script that sorts and draws, and plotly.js where there is a chart.

Rules: a content security policy forbids any request; what is embedded cannot end its element. The caller escapes the
body. plotly.js is 4.6 MB, so a page without a chart does without it.
"""

import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

from trader.report.style import templates

POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


def document(title: str, body: str, figures: Mapping[str, Any], styles: Sequence[str] = ("report.css",)) -> str:
    """The page. ``figures`` are plotly's values by the id of the element that each is drawn in."""
    data = {"figures": figures, "templates": templates()}
    assets = files("trader") / "data"
    style = "\n".join((assets / name).read_text("utf-8") for name in styles)
    script = (assets / "report.js").read_text("utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">
<title>{escape(title)}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
{_plotly() if figures else ""}
<script id="report-data" type="application/json">{embedded(data)}</script>
<script>
{script}
</script>
</body>
</html>
"""


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def embedded(value: object) -> str:
    """JSON that cannot end its script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
