"""Other clients of the TWS API, unmodified and each in an environment of its own, trade at the simulated gateway.

The environments are made on demand in the checkout's ignored cache, with pinned versions; without a package
index these tests are skipped, with the reason.
"""

import asyncio
import fcntl
import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

from trader.simulator.market import SyntheticMarket
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer

pytestmark = [pytest.mark.e2e, pytest.mark.peers]

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache" / "peers"
INSTALL_TIMEOUT_S = 300
PEER_TIMEOUT_S = 120
# Name: what is installed, the script that drives it, the protocol version it has to arrive at.
PEERS = {
    "ib_insync-0.9.86": (("ib_insync==0.9.86", "eventkit==1.0.3", "nest-asyncio==1.6.0"), "insync_peer.py", 176),
    "ibapi-9.81.1": (("ibapi==9.81.1.post1", "setuptools==80.9.0", "wheel==0.45.1"), "ibapi_peer.py", 157),
    "ibapi-10.19": (("nautilus_ibapi==10.19.4",), "ibapi_peer.py", 176),
    "ibapi-10.46": (("nautilus_ibapi==10.46.1", "protobuf==5.29.5"), "ibapi_peer.py", 178),
}


def environment(name: str) -> Path:
    """The interpreter of a peer's environment; made once, whichever worker comes first."""
    folder = CACHE / name
    python = folder / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            venv.create(folder, with_pip=True, clear=True)
            _install(python, PEERS[name][0])
            (folder / "complete").touch()
    return python


def _install(python: Path, packages: tuple[str, ...]) -> None:
    options = ["--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout", "20"]
    command = [str(python), "-m", "pip", "install", *options, *packages]
    try:
        made = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{packages[0]} cannot be installed: no answer within {INSTALL_TIMEOUT_S} s")
    if made.returncode:
        pytest.skip(f"{packages[0]} cannot be installed: {made.stderr.strip().splitlines()[-1][:300]}")


async def drive(python: Path, script: str, port: int) -> dict:
    """Run a peer's script against the gateway; what it printed, or its complaint as the failure."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = await asyncio.create_subprocess_exec(
        str(python),
        str(HERE / "peers" / script),
        str(port),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean,
    )
    try:
        output, complaint = await asyncio.wait_for(process.communicate(), PEER_TIMEOUT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, complaint.decode()[-3000:]
    return json.loads(output.decode().splitlines()[-1])


@pytest.mark.parametrize("name", PEERS)
async def test_an_unmodified_client_connects_streams_trades_and_lists_its_position(name):
    _, script, version = PEERS[name]
    python = await asyncio.to_thread(environment, name)
    server = SimulatedGatewayServer(SyntheticMarket(("AAPL",), seed=1, interval_s=0.1), ServerOptions(port=0))
    port = await server.start()
    try:
        seen = await drive(python, script, port)
    finally:
        await server.stop()
    assert seen["version"] == version
    assert (seen["con_id"], seen["quoted"]) == (265598, True)
    assert (seen["status"], seen["filled"], seen["commission"]) == ("Filled", 100, 1.0)
    assert seen["position"] == ["AAPL", 100]
    assert (seen["completed"], seen["bars"], seen["summary"]) == (["Cancelled", "Filled"], True, True)
    assert seen.get("problems", []) == []
