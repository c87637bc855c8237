"""The command line: thin commands that parse, call one function, print, and end with an exit code.

Rules: a command's module is imported only when that command is asked for, because ``trader health`` runs every
few seconds and ``trader panic`` must not wait for a plotting library.
"""

import importlib
from typing import Any, Final

import typer
from typer.core import TyperGroup

COMMANDS: Final = {
    "demo": "trader.cli.demo",
    "run": "trader.cli.run",
    "simulate": "trader.cli.simulate",
    "replay": "trader.cli.replay",
    "compare": "trader.cli.compare",
    "check": "trader.cli.check",
    "status": "trader.cli.status",
    "positions": "trader.cli.status",
    "orders": "trader.cli.status",
    "halt": "trader.cli.control_commands",
    "resume": "trader.cli.control_commands",
    "reload": "trader.cli.reload",
    "panic": "trader.cli.panic",
    "policy": "trader.cli.policy",
    "health": "trader.cli.health",
    "journal": "trader.cli.journal",
    "metrics": "trader.cli.metrics",
    "calendar": "trader.cli.calendar",
    "stack": "trader.cli.stack",
    "generate": "trader.cli.generate",
    "slo": "trader.cli.slo",
    "drill": "trader.cli.drill",
    "doctor": "trader.cli.doctor",
    "maintenance": "trader.cli.maintenance",
    "backup": "trader.cli.backup",
}


class LazyGroup(TyperGroup):
    """Finds a command in ``COMMANDS`` and imports its module then.

    Contexts and commands are typed loosely: they are click's own or a copy of it, by the version of typer.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        parent = typer.Typer()
        importlib.import_module(module).register(parent)
        return typer.main.get_group(parent).commands[cmd_name]


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def trader() -> None:
    """An Interactive Brokers trading service that can be operated."""
