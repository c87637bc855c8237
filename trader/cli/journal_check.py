"""``trader journal verify | repair``: whether the journal is whole, and what can be saved of one that is not.

Rules: *verify* changes nothing; exit code 0 says that every fact is there and as it was written, 1 that it is not.
*repair* keeps a copy before it changes anything, and says what is lost and where it comes from again.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from trader.cli.plumbing import DEFAULT_CONFIG, EXIT_FAILED, ConfigOption, JsonOption, failing, settings_to_ask_by

if TYPE_CHECKING:
    from trader.journal.repair import Repaired
    from trader.journal.verify import Fold, Verdict

DEFAULT_CURRENCY: Final = "USD"
REBUILT: Final = (
    "what followed is lost here; the next start asks the broker for it: open and completed orders, the positions, and "
    "the day's executions, which it tells until midnight",
    "not told by any broker: targets, a halt or reduce-only, and executions of days before; where positions differ by "
    "those: trader resume --accept-positions",
)

UrlOption = Annotated[str | None, typer.Option("--url", help="A journal's address instead of the configuration's.")]


def register(app: typer.Typer) -> None:
    """Add *verify* and *repair* to ``trader journal``."""
    app.command("verify")(verify_command)
    app.command("repair")(repair_command)


def verify_command(config: ConfigOption = DEFAULT_CONFIG, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Look whether the journal is whole: its file, its sequence, every fact, and what they say together."""
    from trader.journal import JournalError
    from trader.journal.verify import verify

    address, new_fold = _wanted(config, url)
    with failing(JournalError):
        verdict = verify(address, new_fold())
    if as_json:
        typer.echo(_json({**msgspec.to_builtins(verdict), "ok": verdict.ok}))
    else:
        _tell(verdict)
    if not verdict.ok:
        raise typer.Exit(EXIT_FAILED)


def repair_command(config: ConfigOption = DEFAULT_CONFIG, url: UrlOption = None, as_json: JsonOption = False) -> None:
    """Save what is whole of a damaged journal, up to the first damage; a copy of all of it is kept."""
    from trader.clock import SystemClock
    from trader.journal import JournalError
    from trader.journal.repair import repair

    address, new_fold = _wanted(config, url)
    with failing(JournalError):
        repaired = repair(address, new_fold, SystemClock())
    if as_json:
        typer.echo(_json(msgspec.to_builtins(repaired)))
    else:
        _tell_repair(repaired)


def _wanted(config: Path, url: str | None) -> "tuple[str, Callable[[], Fold]]":
    """The journal's address, and books to fold its facts into."""
    if url is not None:
        return url, lambda: _fold(DEFAULT_CURRENCY)
    settings = settings_to_ask_by(config, "journal")
    return settings.journal.url, lambda: _fold(settings.base_currency)


def _fold(base_currency: str) -> "Fold":
    from trader.events import AnyDurableFact, SessionOpened
    from trader.ledger import Ledger
    from trader.orders import Orders

    orders, ledger = Orders(), Ledger(base_currency)

    def fold(fact: AnyDurableFact) -> None:
        orders.apply(fact)
        ledger.apply(fact)
        if isinstance(fact, SessionOpened):
            orders.forget_final(before=fact.opened_at)
            ledger.check()

    return fold


def _tell(verdict: "Verdict") -> None:
    until = f", the last of {verdict.last_at:%Y-%m-%d %H:%M:%S} UTC" if verdict.last_at else ""
    if verdict.in_use:
        typer.echo("a service writes this journal; its log was left to it")
    if verdict.unsealed:
        typer.echo(f"{verdict.unsealed} facts were written by a release without checksums, and are believed")
    if verdict.ok:
        typer.echo(f"ok: the journal {verdict.journal} is whole, {verdict.facts} facts{until}")
        return
    typer.echo(f"{verdict.facts} facts are whole{until}")
    for problem in verdict.problems:
        typer.echo(problem, err=True)
    if verdict.problems:
        typer.echo("stop the service, then bring a backup back, or: trader journal repair", err=True)
    else:
        typer.echo(
            f"{verdict.tail}: as a crash in the middle of a step leaves them; a start drops them and asks the broker",
            err=True,
        )


def _tell_repair(repaired: "Repaired") -> None:
    typer.echo(f"a copy of the damaged journal is in {repaired.kept}")
    for problem in repaired.problems:
        typer.echo(f"damage: {problem}")
    typer.echo(f"saved: {repaired.facts} facts, the last of {repaired.lost_after:%Y-%m-%d %H:%M:%S} UTC")
    for line in REBUILT:
        typer.echo(line)


def _json(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
