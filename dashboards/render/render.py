"""Pictures of the dashboards: their queries are asked of a Prometheus, and Grafana's own components draw the answers.

    npm install --prefix dashboards/render
    python dashboards/render/render.py --prometheus http://127.0.0.1:9090 --minutes 15

Needs Node.js 20 and Chromium, and likes to have Pillow. Writes one picture a board to docs/images/dashboards.
Panels that Grafana does not publish as components (state timeline, heatmap) are drawn by drawn.jsx in their manner.
Prints the queries that had no answer, and what went wrong in the page; exit code 1 when something did.
"""

import argparse
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from html import unescape
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from observability.dashboards.queries import defaults, interpolate, queries_of  # noqa: E402

WIDTH = 1536
MARGIN = 16
POINTS = 240
LOADERS = {".js": "jsx", ".svg": "dataurl", ".woff": "dataurl", ".woff2": "dataurl", ".ttf": "empty"}
ESBUILD = [
    "--bundle",
    "--minify",
    "--jsx=automatic",
    "--define:global=window",
    '--define:process.env.NODE_ENV="production"',
    "--alias:react-custom-scrollbars-2=./scrollbars.js",
    "--log-level=error",
    *(f"--loader:{ending}={loader}" for ending, loader in LOADERS.items()),
]
CHROMIUM = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--virtual-time-budget=12000",
]


def ask(prometheus: str, path: str, **query: Any) -> Any:
    url = f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]


def collect(prometheus: str, dashboard: dict[str, Any], start: int, end: int, rate_interval: str) -> dict[str, Any]:
    """The dashboard with everything its panels ask for, between two Unix times."""
    step = max(1, round((end - start) / POINTS))
    start, end = start // step * step, end // step * step
    values = defaults(rate_interval=rate_interval, range_=f"{end - start}s", interval=f"{step}s")
    queries, exemplars = [], []
    everything = list(queries_of(dashboard))
    for query in everything:
        expr = interpolate(query.expr, values)
        if query.instant:
            answer = ask(prometheus, "query", query=expr, time=end)
        else:
            answer = ask(prometheus, "query_range", query=expr, start=start, end=end, step=step)
        if query.exemplars:
            exemplars += _exemplars(
                ask(prometheus, "query_exemplars", query=expr, start=start, end=end), query.panel_id
            )
        if not answer["result"]:
            print(f"{query.board}: {query.panel} {query.ref} has no answer")
        only = sum(other.panel_id == query.panel_id for other in everything) == 1
        queries.append(
            {
                "panel_id": query.panel_id,
                "ref": query.ref,
                "form": query.form,
                "legend": query.legend,
                "only": only,
                "result": answer["result"],
            }
        )
    return {
        "dashboard": dashboard,
        "from": start,
        "to": end,
        "step": step,
        "width": WIDTH,
        "queries": queries,
        "exemplars": exemplars,
        "annotations": list(_annotations(prometheus, dashboard, start, end, values)),
    }


def _exemplars(series: list[dict[str, Any]], panel_id: int) -> list[dict[str, Any]]:
    return [
        {"panel_id": panel_id, "time": one["timestamp"], "value": float(one["value"])}
        for found in series
        for one in found["exemplars"]
    ]


def _annotations(prometheus: str, dashboard: dict[str, Any], start: int, end: int, values: dict[str, str]) -> Any:
    """The first moment of each run of moments at which an annotation's query has a value."""
    for annotation in dashboard["annotations"]["list"]:
        expr = interpolate(annotation["expr"], values)
        for series in ask(prometheus, "query_range", query=expr, start=start, end=end, step=5)["result"]:
            previous = 0.0
            for at, _ in series["values"]:
                if at - previous > 5:
                    yield {"time": at, "color": annotation["iconColor"], "name": annotation["name"]}
                previous = at


def page(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "page.html"
    text = json.dumps(data).replace("</", "<\\/")
    path.write_text(
        '<!doctype html><html><head><meta charset="utf-8"><link rel="stylesheet" href="app.css"><style>'
        "html{font-size:14px}body{margin:0;font-family:Inter}</style></head><body>"
        '<div style="height:0;overflow:hidden">.<b style="font-weight:500">.</b></div>'
        f'<div id="root"></div><script>window.__data={text}</script><script src="app.js"></script></body></html>'
    )
    return path


def chromium(program: str, profile: Path, *options: str) -> str:
    command = [program, *CHROMIUM, f"--user-data-dir={profile}", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def draw(program: str, folder: Path, data: dict[str, Any], picture: Path) -> list[str]:
    """Draw one board; the lines that its page logged."""
    url = page(folder, data).as_uri()
    size = f"{WIDTH + MARGIN},1200"
    document = chromium(program, folder / "profile", f"--window-size={size}", "--dump-dom", url)
    height = re.search(r"<title>height=([0-9.]+)", document)
    if height is None:
        return ["error: the page drew nothing", *re.findall(r"error: .*", document)]
    size = f"{WIDTH + MARGIN},{round(float(height[1]))}"
    chromium(program, folder / "profile", f"--window-size={size}", f"--screenshot={picture}", url)
    logged = re.search(r'<pre id="log"[^>]*>(.*?)</pre>', document, re.DOTALL)
    return unescape(logged[1]).splitlines() if logged else ["error: the page has no log"]


def squeeze(picture: Path) -> None:
    """Store a picture with 256 colours, where Pillow is installed: a third of the size, and no difference to see."""
    if importlib.util.find_spec("PIL") is None:
        return
    image = importlib.import_module("PIL.Image")
    with image.open(picture) as opened:
        few = opened.convert("RGB").quantize(256, method=image.Quantize.MAXCOVERAGE, dither=image.Dither.NONE)
    few.save(picture, optimize=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw the dashboards with data of a Prometheus.")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--end", type=float, default=time.time(), help="Unix time; now by default")
    parser.add_argument("--rate-interval", default="30s")
    parser.add_argument("--chromium", default="chromium")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images/dashboards")
    parser.add_argument("--verbose", action="store_true", help="print what every panel shows")
    parser.add_argument("boards", nargs="*", help="uids; all by default")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        bundle = ["npx", "--no-install", "esbuild", "app.jsx", *ESBUILD, f"--outfile={folder / 'app.js'}"]
        subprocess.run(bundle, cwd=HERE, check=True)
        for path in sorted((ROOT / "dashboards").glob("*.json")):
            dashboard = json.loads(path.read_text())
            if options.boards and dashboard["uid"] not in options.boards:
                continue
            start = round(options.end - 60 * options.minutes)
            data = collect(options.prometheus, dashboard, start, round(options.end), options.rate_interval)
            picture = options.out / f"{dashboard['uid']}.png"
            logged = draw(options.chromium, folder, data, picture)
            squeeze(picture)
            wrong = [line for line in logged if line.startswith("error")]
            failed |= bool(wrong)
            print(*(logged if options.verbose else wrong), f"{picture}: {picture.stat().st_size:,} bytes", sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
