"""What the parts of one exchange share: time, listener, market lines, orders, books.

Rules: state and its plain accessors only; what happens to it is decided in ``exchange``, ``order_entry`` and
``trading``.
"""

from datetime import datetime
from decimal import Decimal

from trader.simulator.account import Account
from trader.simulator.contract_book import ContractBook
from trader.simulator.executions import ExecutionLog
from trader.simulator.line import MarketLine
from trader.simulator.model import ErrorReported, ListedContract, Listener, OrderRequest
from trader.simulator.options import ExchangeOptions
from trader.simulator.registry import OrderRegistry
from trader.simulator.valuation import Valuation

_FIRST_PERM_ID = 1_000_000_000
_PERM_IDS_PER_SEED = 1_000_000


class ExchangeCore:
    """The state of one exchange. ``now`` never goes back."""

    __slots__ = (
        "account",
        "book",
        "lines",
        "lines_by_key",
        "listener",
        "log",
        "now",
        "options",
        "orders",
        "valuation",
    )

    def __init__(
        self, book: ContractBook, options: ExchangeOptions, start: datetime, seed: int, listener: Listener
    ) -> None:
        self.book = book
        self.options = options
        self.now = start
        self.listener = listener
        self.lines: dict[int, MarketLine] = {}
        self.lines_by_key: dict[str, MarketLine] = {}
        first_perm_id = _FIRST_PERM_ID + seed % 1_000 * _PERM_IDS_PER_SEED
        self.orders = OrderRegistry(options.first_order_id, first_perm_id, options.completed_kept)
        self.log = ExecutionLog(seed, options.executions_kept, options.run_number)
        self.account = Account(options.base_currency, options.starting_cash)
        self.valuation = Valuation(self.account, book, options, self.mark)

    def line(self, contract: ListedContract) -> MarketLine:
        """The contract's market line, made when it is first needed."""
        line = self.lines.get(contract.con_id)
        if line is None:
            line = MarketLine(contract, self.options.history_bars)
            self.lines[contract.con_id] = line
            self.lines_by_key[line.key] = line
        return line

    def line_of_key(self, key: str) -> MarketLine:
        """The market line of a market key. Raises ValueError for a key that is not listed."""
        contract = self.book.by_key(key)
        if contract is None:
            raise ValueError(f"the market moves {key!r}, which is not in the contract book: list it there first")
        return self.line(contract)

    def mark(self, con_id: int) -> Decimal | None:
        """What one unit of a contract is worth; None when no market was ever seen."""
        line = self.lines.get(con_id)
        return line.mark if line is not None else None

    def tell(self, request: OrderRequest, objection: tuple[int, str]) -> None:
        """Report an error or a notice about an order to the client it came from."""
        code, message = objection
        self.listener(ErrorReported(request.client_id, request.order_id, code, message))
