"""One account of a machine as its operator has it: the plain service or an instance, its panic, its books, its broker.

Rules: nothing here looks into a process; all of it is what systemd, the journal, the control socket, the command line
and the broker's API tell. Times are those of the machine's monotonic clock in microseconds, as systemd tells them.
"""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from tests.lab.commands import Completed
from tests.lab.lab import Lab
from tests.systemd.broker import ask_broker
from trader.control import ControlClient
from trader.control_messages import Command, ControlError

HOME: Final = "/home/trader/secure/trader/IBKR_trading"
HEALTH_CHECK: Final = f"{HOME}/scripts/health_check.sh"
PYTHON: Final = "/opt/ibkr-trading/current/bin/python"
STRATEGY: Final = Path(__file__).with_name("provoked.py")
STRATEGY_FOLDER: Final = "/opt/lab"
UNIT_STATE: Final = ("ActiveState", "InvocationID", "NRestarts", "MainPID", "Result")
RAISE: Final = 'read -r uptime _ </proc/uptime; touch -- "$1"; echo "$uptime"'
MICROSECONDS_PER_SECOND: Final = 1_000_000
# At the market without a limit, else an order that rests.
BUY: Final = """
import sys
from ib_async import IB, LimitOrder, MarketOrder, Stock
port, limit = int(sys.argv[1]), float(sys.argv[2])
ib = IB()
ib.connect("127.0.0.1", port, clientId=78, timeout=60)
(contract,) = ib.qualifyContracts(Stock("AAPL", "SMART", "USD"))
order = LimitOrder("BUY", 3, limit) if limit else MarketOrder("BUY", 3)
order.orderRef = "by hand"
trade = ib.placeOrder(contract, order)
while trade.orderStatus.status not in ("Filled", "Submitted"):
    ib.waitOnUpdate(timeout=10)
print(trade.orderStatus.status)
ib.disconnect()
"""


class Account:
    """The account of the plain service in ``lab``, or of the instance ``name``."""

    def __init__(self, lab: Lab, name: str = "") -> None:
        self.lab = lab
        self.name = name
        at = f"@{name}" if name else ""
        self.service = f"ibkr-trading{at}.service"
        self.panic = f"ibkr-panic{at}.service"
        self.panic_path = f"ibkr-panic{at}.path"
        self.simulator = f"ibkr-simulator-{name}.service" if name else "ibkr-simulator.service"
        self.folder = f"{HOME}/instances/{name}" if name else HOME
        self.config = f"{self.folder}/config/config.yaml"
        self.flag = f"{self.folder}/panic.flag"
        self.steering = f"{STRATEGY_FOLDER}/{name or 'plain'}.json"

    # -- what it is made to do

    def trader(self, *arguments: str, check: bool = True) -> Completed:
        """The installed command line, as root types it."""
        return self.lab.run(["trader", *([f"@{self.name}"] if self.name else []), *arguments], check=check)

    def configure(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Changes keys of the configuration file, section by section."""
        document = yaml.safe_load(self.lab.read(self.config))
        for section, values in changes.items():
            document[section] = {**(document.get(section) or {}), **values}
        self.lab.write(self.config, yaml.safe_dump(document, sort_keys=False))

    def trade(self, quantity: int) -> None:
        """Has the service hold ``quantity`` of each symbol, from its next start on."""
        self.lab.write(f"{STRATEGY_FOLDER}/provoked.py", STRATEGY.read_text(encoding="utf-8"), mode=0o644)
        self.want(quantity)
        self.lab.drop_in(self.service, "30-strategy", f"[Service]\nEnvironment=PYTHONPATH={STRATEGY_FOLDER}\n")
        strategy = {"name": "provoked:Provoked", "parameters": {"file": self.steering}}
        # A limit order may rest until it is cancelled, when the market moves away from it.
        self.configure({"strategy": strategy, "execution": {"order_type": "MKT"}})

    def want(self, quantity: int) -> None:
        """The quantity of each symbol that is to be held from the next quote on."""
        self.lab.write(f"{self.steering}.part", json.dumps({"quantity": quantity}), mode=0o644)
        self.lab.run(["mv", f"{self.steering}.part", self.steering])

    def raise_flag(self) -> int:
        """Raises the panic flag; returns when, to the hundredth of a second."""
        uptime = self.lab.run(["/bin/sh", "-c", RAISE, "raise", self.flag]).stdout
        return int(float(uptime) * MICROSECONDS_PER_SECOND)

    def signal_trader(self, signal: str) -> None:
        """Sends a signal to the trader's main process, past systemd."""
        self.lab.run(["kill", f"-{signal}", self.lab.show(self.service, "MainPID")["MainPID"]])

    def resume(self) -> None:
        """Ends a panic as an operator does, once the service is done with it."""
        self.await_panic_done()
        self.trader("resume")

    def buy_by_hand(self, limit: int = 0) -> str:
        """Buys a few shares past the service, as somebody with another client may; the order's status."""
        port = self.settings["gateway"]["port"]
        return self.lab.run([PYTHON, "-c", BUY, str(port), str(limit)]).stdout.strip()

    def systemctl(self, verb: str, *, check: bool = True) -> Completed:
        return self.lab.systemctl(verb, self.service, check=check)

    # -- what is seen of it

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The configuration file as it was first read."""
        return dict(yaml.safe_load(self.lab.read(self.config)))

    def status(self) -> dict[str, Any]:
        """What the service answers on its control socket, which `trader status` shows; nothing when nobody answers."""
        socket = self.lab.seen_from_host(self.settings["control"]["socket"])
        try:
            return ControlClient(socket).call(Command.STATUS).value(dict[str, Any])
        except ControlError:
            return {}

    def typed_status(self) -> dict[str, Any]:
        """What `trader status --json` says."""
        return dict(json.loads(self.trader("status", "--json").stdout))

    def trading_state(self) -> str:
        return str(self.status().get("trading_state"))

    def held(self) -> dict[str, int]:
        """What the service's own books hold, by symbol."""
        positions = self.status().get("positions", [])
        return {line["symbol"]: int(float(line["quantity"])) for line in positions if float(line["quantity"])}

    def at_broker(self) -> dict[str, Any]:
        """``orders`` and ``executed`` (references) and ``positions`` by the broker's word, asked as another client."""
        told = ask_broker(self.lab, self.settings["gateway"]["port"])
        return {name: told[name] for name in ("orders", "executed", "positions")}

    def is_flat(self) -> bool:
        """Whether no order is open and no position held, by the broker's word."""
        told = self.at_broker()
        return not told["orders"] and not told["positions"]

    def panic_units(self) -> tuple[dict[str, str], dict[str, str]]:
        """Which runs of the panic's two units these are, and how they are; neither has failed or begun anew."""
        path, service = self.unit_state(self.panic_path), self.unit_state(self.panic)
        assert (path["ActiveState"], service["ActiveState"], service["NRestarts"]) == ("active", "active", "0")
        return path, service

    def journaled(self) -> set[str]:
        """The references of all orders in the service's own journal."""
        lines = self.trader("journal", "export", "--kind", "OrderIntended").stdout.splitlines()
        return {str(json.loads(line)["order_ref"]) for line in lines}

    def unit_state(self, unit: str) -> dict[str, str]:
        """Which run of the unit it is, and how that is."""
        return self.lab.show(unit, *UNIT_STATE)

    def monotonic_us(self, unit: str, timestamp: str) -> int:
        return int(self.lab.show(unit, f"{timestamp}Monotonic")[f"{timestamp}Monotonic"])

    def active_state(self, unit: str) -> str:
        return self.lab.show(unit, "ActiveState")["ActiveState"]

    def metric(self, name: str) -> dict[str, float]:
        """The samples of one metric, by their labels as text."""
        port = self.settings["metrics"]["port"]
        lines = (self.lab.get(port, "/metrics") or "").splitlines()
        assert lines, f"nobody tells metrics at port {port} of {self.lab.name}"
        samples = (line.rpartition(" ") for line in lines if line.startswith((f"{name} ", f"{name}{{")))
        return {label.removeprefix(name): float(value) for label, _, value in samples}

    # -- what is waited for

    def await_unit(self, unit: str, state: str, timeout_s: float = 120.0) -> None:
        self.lab.wait_until(lambda: self.active_state(unit) == state, f"{unit} {state}", timeout_s)

    def await_state(self, state: str, timeout_s: float = 120.0) -> None:
        """Waits until the running service says that it is in the trading state ``state``."""
        self._await(lambda: self.trading_state() == state, f"{self.service} in state {state}", timeout_s)

    def await_held(self, quantity: int, timeout_s: float = 120.0) -> None:
        """Waits until the service holds ``quantity`` of each of its symbols."""
        wanted = dict.fromkeys(self.settings["instruments"], quantity)
        self._await(lambda: self.held() == wanted, f"{quantity} of each symbol in {self.service}", timeout_s)

    def await_panic_done(self, timeout_s: float = 120.0) -> None:
        """Waits until the running service has flattened, and can be resumed."""
        self._await(lambda: bool(self.status().get("panic_completed")), f"a panic done by {self.service}", timeout_s)

    def _await(self, condition: Callable[[], bool], what: str, timeout_s: float) -> None:
        self.lab.wait_until(condition, what, timeout_s)
