"""Renders a registry piece by piece, giving the event loop its turn in between.

Rules: a piece is a few samples of one family; no stretch of work is longer than ``SLICE_NS`` and one more piece, or
what a collector needs for its next family. What a scrape costs in all does not matter, how long it holds the loop does.
"""

import asyncio
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from trader.clock import Clock

SLICE_NS = 100_000
PIECE_SAMPLES = 16
EOF_LINE = b"# EOF\n"
OPENMETRICS = "application/openmetrics-text"


class _OneFamily(Collector):
    """A registry of one family, which is what the library's encoders take."""

    def __init__(self, family: Family) -> None:
        self._family = family

    def collect(self) -> Iterable[Family]:
        return (self._family,)


def encoded(registry: CollectorRegistry, accept: str) -> tuple[Iterator[bytes], str]:
    """The scrape in pieces, and its content type, in the format that ``accept`` asks for."""
    encode, content_type = choose_encoder(accept)

    def pieces() -> Iterator[bytes]:
        for family in registry.collect():
            samples = family.samples
            for begin in range(0, len(samples) or 1, PIECE_SAMPLES):
                family.samples = samples[begin : begin + PIECE_SAMPLES]
                piece = encode(_OneFamily(family)).removesuffix(EOF_LINE)
                yield _without_heading(piece) if begin else piece
        if content_type.startswith(OPENMETRICS):
            yield EOF_LINE

    return pieces(), content_type


def _without_heading(piece: bytes) -> bytes:
    """What goes on with a family that has been named before."""
    while piece.startswith(b"#"):
        piece = piece.partition(b"\n")[2]
    return piece


async def render(registry: CollectorRegistry, accept: str, clock: Clock) -> tuple[bytes, str]:
    """The whole scrape and its content type; the loop runs others every ``SLICE_NS``."""
    pieces, content_type = encoded(registry, accept)
    body = bytearray()
    slice_started_ns = clock.monotonic_ns()
    for piece in pieces:
        body += piece
        if clock.monotonic_ns() - slice_started_ns > SLICE_NS:
            await asyncio.sleep(0)
            slice_started_ns = clock.monotonic_ns()
    return bytes(body), content_type
