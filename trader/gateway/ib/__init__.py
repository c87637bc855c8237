"""IB Gateway and TWS, spoken to through ib_async's encoders and decoders. No other package imports ib_async.

Rules: ib_async's objects stay in here. Its loggers are silenced: what they would say is a fact already.
"""

import logging

from trader.gateway.ib.gateway import IbGateway

__all__ = ["IbGateway"]

logging.getLogger("ib_async").setLevel(logging.CRITICAL)
