"""``trader policy``: what the budget policy says, and an operator's word against it.

Rules: an override has an end and a reason, and both are journaled by the service; with no service running these
commands change nothing.
"""

import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, ConfigOption, JsonOption, fail, settings_from

if TYPE_CHECKING:
    from rich.console import RenderableType

    from trader.snapshot import Snapshot

SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION: Final = re.compile(r"(?:\d+[smhd])+")

ForOption = Annotated[str, typer.Option("--for", help="How long, such as 30m, 2h or 1h30m.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why, for the journal.")]

app = typer.Typer(no_args_is_help=True, help="The budget policy: what it says, and overriding it.")


def register(parent: typer.Typer) -> None:
    """Add ``trader policy`` to the command line."""
    parent.add_typer(app, name="policy")


@app.command("show")
def show_command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """What the policy makes of each success metric, the alerts behind it, and an override."""
    from rich.console import Console

    from trader.cli.status import as_pretty_json, ask_snapshot
    from trader.control_messages import ControlError

    settings = settings_from(config)
    try:
        snapshot = ask_snapshot(settings.control.socket)
    except ControlError as error:
        fail(str(error))
    if as_json:
        typer.echo(as_pretty_json(snapshot.policy))
        return
    Console().print(policy_view(snapshot))


@app.command("override")
def override_command(duration: ForOption, reason: ReasonOption, config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Open positions although the policy says no, for a limited time."""
    try:
        for_s = seconds_of(duration)
    except ValueError as error:
        fail(str(error))
    if not reason.strip():
        fail("an override needs a reason: --reason WHY")
    sentence = _tell(config, for_s, reason)
    typer.echo(sentence or f"the budget policy is set aside for {duration}; to end that: trader policy restore")


@app.command("restore")
def restore_command(reason: ReasonOption = "an operator asked for it", config: ConfigOption = DEFAULT_CONFIG) -> None:
    """End an override: the policy counts again."""
    typer.echo(_tell(config, 0, reason) or "the budget policy counts again; no alert of it stops entries")


def _tell(config: "ConfigOption", for_s: float, reason: str) -> str | None:
    from trader.control import ControlClient
    from trader.control_messages import Command, ControlError

    try:
        answer = ControlClient(settings_from(config).control.socket).call(
            Command.OVERRIDE_POLICY, for_s=for_s, reason=reason
        )
    except ControlError as error:
        fail(str(error))
    return answer.sentence()


def seconds_of(duration: str) -> int:
    """The seconds in ``duration``, such as 1h30m; ValueError with one sentence when it is none."""
    if not DURATION.fullmatch(duration):
        raise ValueError(f"{duration!r} is not a duration; write it as 30m, 2h or 1h30m")
    seconds = sum(int(number) * SECONDS[unit] for number, unit in re.findall(r"(\d+)([smhd])", duration))
    if seconds == 0:
        raise ValueError("an override of no time is none; to end one: trader policy restore")
    return seconds


def policy_view(snapshot: "Snapshot") -> "RenderableType":
    """A table of the success metrics with an alert, and lines about what else there is to know. Pure."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from trader.cli.formats import ago
    from trader.cli.views import policy_text

    lines: list[RenderableType] = [Text.assemble(("budget policy  ", "dim"), policy_text(snapshot))]
    policy = snapshot.policy
    if policy is not None and any(policy.states.values()):
        table = Table.grid(padding=(0, 2))
        for slo, state in sorted(policy.states.items()):
            table.add_row(slo, state.name.lower().replace("_", " "))
        lines.append(table)
        lines += [Text(f"fires: {alert}") for alert in policy.alerts]
    heard = ago(policy.heard_at if policy else None, snapshot.at)
    lines.append(Text(f"Alertmanager last heard: {heard}", "dim"))
    if policy is not None and not policy.receiving:
        lines.append(Text("off: policy.token_file is not set, so no alert is taken", "yellow"))
    return Group(*lines)
