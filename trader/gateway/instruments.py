"""Which of our instruments a contract of the broker is.

Rules: a con_id decides where both sides have one; before qualification symbol, type, currency and expiry
do. A contract that is not configured still becomes an instrument, with a key of its own, because whatever
the account holds must be seen and must be closable. The account's positions never share a key.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from trader.contracts import ONE, Instrument, SecurityType
from trader.gateway.translate import ContractText, amount

UNCONFIGURED_MAX = 10_000


class InstrumentIndex:
    """The configured instruments, as they become known to the broker, and the others that it mentions."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._by_symbol = dict(instruments)
        self._by_con_id = {item.con_id: item for item in instruments.values() if item.con_id}
        self._unconfigured: dict[int, Instrument] = {}

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self._by_symbol.values())

    def configured(self, symbol: str) -> Instrument | None:
        """The configured instrument with the key ``symbol``, qualified as far as it is known."""
        return self._by_symbol.get(symbol)

    def qualify(self, symbol: str, con_id: int, tick_size: Decimal) -> None:
        """Note what the broker says of a configured instrument."""
        qualified = msgspec.structs.replace(self._by_symbol[symbol], con_id=con_id, tick_size=tick_size)
        self._by_symbol[symbol] = qualified
        self._by_con_id[con_id] = qualified

    def resolve(self, contract: ContractText) -> Instrument:
        """The instrument that ``contract`` is; made up from the contract when none is configured."""
        found = self._by_con_id.get(contract.con_id) or self._unconfigured.get(contract.con_id)
        if found is not None:
            return found
        for candidate in self._by_symbol.values():
            if not candidate.con_id and _describes(contract, candidate):
                return msgspec.structs.replace(candidate, con_id=contract.con_id)
        made = self._make(contract)
        if len(self._unconfigured) < UNCONFIGURED_MAX:
            self._unconfigured[contract.con_id] = made
        return made

    def _make(self, contract: ContractText) -> Instrument:
        kind = _security_type(contract.security_type)
        key = _key(contract, kind)
        if key in self._by_symbol:
            key = f"{key}#{contract.con_id}"
        return Instrument(
            symbol=key,
            security_type=kind,
            exchange=_order_exchange(contract, kind),
            currency=contract.currency,
            expiry=contract.expiry,
            ib_symbol=contract.symbol if contract.symbol != key else "",
            multiplier=amount(contract.multiplier) or ONE,
            con_id=contract.con_id,
        )


def _describes(contract: ContractText, candidate: Instrument) -> bool:
    return (
        contract.symbol == (candidate.ib_symbol or candidate.symbol)
        and contract.security_type == candidate.security_type
        and contract.currency == candidate.currency
        and contract.expiry.startswith(candidate.expiry)
    )


def _security_type(text: str) -> SecurityType:
    try:
        return SecurityType(text)
    except ValueError:
        return SecurityType.OTHER


def _key(contract: ContractText, kind: SecurityType) -> str:
    if kind is SecurityType.CASH:
        return f"{contract.symbol}.{contract.currency}"
    if kind is SecurityType.STOCK:
        return contract.symbol
    return contract.local_symbol or f"{contract.symbol}{contract.expiry}"


def _order_exchange(contract: ContractText, kind: SecurityType) -> str:
    # A position names no exchange; an order needs one.
    if contract.exchange:
        return contract.exchange
    return "IDEALPRO" if kind is SecurityType.CASH else "SMART"
