"""What every fact has."""

from datetime import datetime

import msgspec


class Fact(msgspec.Struct, frozen=True, gc=False, tag=True, kw_only=True):
    """Something that happened, at ``at`` by the injected clock."""

    at: datetime


class DurableFact(Fact, frozen=True, gc=False, tag=True, kw_only=True):
    """A fact that the journal keeps and that state is rebuilt from."""
