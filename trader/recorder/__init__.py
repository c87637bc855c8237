"""Recording of market data: what happened today can be replayed tonight.

Rules: recording never holds trading up and never stops it; what is on the disk can always be read.
"""

from trader.recorder.recording import Recorder

__all__ = ["Recorder"]
