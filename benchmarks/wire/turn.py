"""One turn of one client: started, fed, ended."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final, TypeVar

from benchmarks.options import BenchmarkFailed
from benchmarks.wire.clients import Client, Running, running
from benchmarks.wire.feeder import Feeder
from benchmarks.wire.processors import on_processor

FEEDER_PROCESSOR: Final = 0

ResultT = TypeVar("ResultT")
Work = Callable[[Feeder, Running], Awaitable[ResultT]]


def take_turn(client: Client, symbols: Sequence[str], rng: Random, work: Work[ResultT]) -> ResultT:
    """Start ``client``, wait until it is ready, and do ``work``; BenchmarkFailed with its words when that fails."""
    with TemporaryDirectory(prefix="benchmark-") as name:
        return asyncio.run(_turn(client, Path(name), symbols, rng, work))


async def _turn(client: Client, folder: Path, symbols: Sequence[str], rng: Random, work: Work[ResultT]) -> ResultT:
    feeder = Feeder(symbols, rng)
    try:
        with running(client, folder, feeder.port, symbols) as process, on_processor(FEEDER_PROCESSOR):
            try:
                feeder.step = process.step
                await feeder.accept(process.ready)
                return await work(feeder, process)
            except BenchmarkFailed as failure:
                raise BenchmarkFailed(f"{client.name}: {failure}. Its last words: {process.words()}") from failure
            finally:
                await feeder.dismiss()
    finally:
        feeder.close()
