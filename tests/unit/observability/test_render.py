"""Rendering piece by piece."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

from observability.families import new_registry
from observability.render import PIECE_SAMPLES, encoded

FORMATS = ("text/plain; version=0.0.4", "application/openmetrics-text; version=1.0.0")


def a_registry() -> CollectorRegistry:
    """Families without a sample, with one, and with several pieces' worth."""
    registry = new_registry()
    Counter("unused_total", "Never counted", ["reason"], registry=registry)
    Gauge("lonely", "One sample", registry=registry).set(7)
    many = Counter("many_total", "Many\nsamples", ["reason"], registry=registry)
    for number in range(3 * PIECE_SAMPLES + 1):
        many.labels(f"# {number}\n").inc(number)
    wide = Histogram("wide_seconds", "Many buckets", registry=registry, buckets=range(2 * PIECE_SAMPLES))
    wide.observe(3.5, {"trace_id": "a1"})
    return registry


@pytest.mark.parametrize("accept", FORMATS)
def test_the_pieces_are_together_what_the_library_renders_at_once(accept: str) -> None:
    registry = a_registry()
    encode, content_type = choose_encoder(accept)
    pieces, told = encoded(registry, accept)
    assert b"".join(pieces) == encode(registry)
    assert told == content_type


@pytest.mark.parametrize("accept", FORMATS)
def test_no_piece_has_more_samples_than_it_may(accept: str) -> None:
    pieces, _ = encoded(a_registry(), accept)
    samples = [sum(not line.startswith(b"#") for line in piece.splitlines()) for piece in pieces]
    assert max(samples) == PIECE_SAMPLES
