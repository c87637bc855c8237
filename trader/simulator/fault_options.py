"""What can go wrong at the simulated gateway, and how often: one frozen options object with a seed.

Rules: probabilities are ratios from 0 to 1; durations are seconds of real time on the wire and of virtual
time in process. A loaded file must be understood entirely.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import yaml

MAX_FILE_BYTES: Final = 1_000_000
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]
Delay = Annotated[float, msgspec.Meta(ge=0, le=3600)]
LinkFaultKind = Literal[
    "disconnect",
    "stall",
    "upstream_lost",
    "farm_flap",
    "competing_session",
    "restart",
    "nightly_reset",
    "handshake_326",
    "pacing",
]


class LinkFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happens to the link ``at_s`` seconds after time began to run and lasts ``duration_s``.

    disconnect: sockets are dropped and new ones refused. stall: connected, and silent. upstream_lost: 1100,
    then 1101 with ``data_lost`` (subscriptions are gone) or 1102. farm_flap: 2103, then 2104, and the
    subscriptions stay silent until asked for again when ``data_lost``. competing_session: 10197 on every
    subscription. restart: sockets drop, next order ids fall by ``roll_back_ids`` and orders of the last
    ``vanish_window_s`` vanish. nightly_reset: 1100 repeated every ``repeat_s``, then 1102. handshake_326: each
    connecting client is told that its id is in use. pacing: each client is told 100 once.
    """

    at_s: Annotated[float, msgspec.Meta(ge=0)]
    kind: LinkFaultKind
    duration_s: Delay = 0.0
    data_lost: bool = False
    roll_back_ids: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    vanish_window_s: Delay = 0.0
    repeat_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 5.0


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong, and how often. The default is a gateway without faults.

    Reports of orders: ``duplicate_status_ratio`` repeats a status, ``no_callback_ratio`` keeps an order's
    every report from its client, ``late_ack_ratio`` delays its first report by ``ack_delay_s``.
    ``execution_delay_ratio`` delays an execution, so that Filled comes before it.

    Commissions: missing, late, before the execution, or first −1 and then the true one.

    ``correction_ratio``: a new revision of an execution after ``correction_delay_s``, at a price off by
    ``correction_ticks``. ``reject_*`` refuse orders (201, 110, 321); ``cancel_refused_ratio`` answers a cancel
    with 161 and does nothing. ``order_message_ratio`` adds one of ``order_message_codes`` to a first report.

    Quotes: ``quote_delay_s`` holds all back; bad ones are crossed, ten times off, absent (−1, size 0) or NaN.
    ``delayed_data`` serves the delayed tick types. ``byte_split`` sends frames in pieces.
    """

    seed: int = 0
    duplicate_status_ratio: Ratio = 0.0
    no_callback_ratio: Ratio = 0.0
    late_ack_ratio: Ratio = 0.0
    ack_delay_s: Delay = 1.0
    report_delay_s: Delay = 0.0
    execution_delay_ratio: Ratio = 0.0
    execution_delay_s: Delay = 0.5
    commission_missing_ratio: Ratio = 0.0
    commission_late_ratio: Ratio = 0.0
    commission_delay_s: Delay = 5.0
    commission_first_ratio: Ratio = 0.0
    commission_unset_ratio: Ratio = 0.0
    correction_ratio: Ratio = 0.0
    correction_delay_s: Delay = 2.0
    correction_ticks: int = 1
    reject_ratio: Ratio = 0.0
    reject_price_ratio: Ratio = 0.0
    reject_invalid_ratio: Ratio = 0.0
    cancel_refused_ratio: Ratio = 0.0
    order_message_ratio: Ratio = 0.0
    order_message_codes: tuple[Literal[10349, 399, 404, 2109, 161], ...] = (10349, 399)
    bad_quote_ratio: Ratio = 0.0
    bad_quote_kinds: tuple[Literal["crossed", "absurd", "absent", "nan"], ...] = ("crossed", "absurd", "absent", "nan")
    quote_delay_s: Delay = 0.0
    delayed_data: bool = False
    byte_split: bool = False
    link: tuple[LinkFault, ...] = ()


class FaultsFileError(Exception):
    """A fault file that cannot be used; the message names the file and what is wrong."""


def load_faults(path: str | Path) -> Faults:
    """Read faults from a YAML or JSON file. Raises FaultsFileError with one sentence."""
    file = Path(path)
    try:
        if file.stat().st_size > MAX_FILE_BYTES:
            raise FaultsFileError(f"{file}: larger than {MAX_FILE_BYTES} bytes, which no fault file needs")
        plain = yaml.safe_load(file.read_text(encoding="utf-8"))
        return msgspec.convert({} if plain is None else plain, Faults)
    except OSError as error:
        raise FaultsFileError(f"{file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise FaultsFileError(f"{file}: this is not UTF-8 text") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else "?"
        raise FaultsFileError(f"{file}, line {line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise FaultsFileError(f"{file}: not valid YAML: {error}") from None
    except msgspec.ValidationError as error:
        raise FaultsFileError(f"{file}: {error}") from None
