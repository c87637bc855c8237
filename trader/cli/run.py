"""``trader run``: the service, in the foreground, until a signal ends it.

Rules: SIGTERM and SIGINT stop gracefully, SIGHUP reloads. What a user can mend is one sentence; the exit code is 78
where only a changed configuration helps, so that systemd does not start it again, and 2 where another attempt may.
An invariant that broke is a traceback in the log and exit code 1, and systemd restarts it. A fatal signal, such as
the watchdog's SIGABRT, leaves every thread's stack on stderr.
"""

import asyncio
import faulthandler
import logging
import signal
from typing import TYPE_CHECKING, Final

import typer

from trader.cli.plumbing import DEFAULT_CONFIG, EXIT_FAILED, EXIT_UNUSABLE, ConfigOption, fail, settings_from

if TYPE_CHECKING:
    from trader.service import Service

STDERR: Final = 2


def register(parent: typer.Typer) -> None:
    """Add ``trader run`` to the command line."""
    parent.command("run")(run_command)


def run_command(config: ConfigOption = DEFAULT_CONFIG) -> None:
    """Run the trading service until SIGTERM or Ctrl-C; SIGHUP reloads the configuration."""
    faulthandler.enable(STDERR, all_threads=True)
    from observability.logs import configure_logging, is_journal_stream
    from trader.cli.exit_codes import CONFIGURATION_ERRORS, EXIT_MISCONFIGURED, USER_ERRORS
    from trader.service import Service, clock_for

    settings = settings_from(config, EXIT_MISCONFIGURED)
    clock = clock_for(settings.mode)
    logs = configure_logging(settings.logging.level, clock)
    try:
        service = Service(settings, clock=clock, config_file=config, logs=logs)
        asyncio.run(_run(service))
    except USER_ERRORS as error:
        code = EXIT_MISCONFIGURED if isinstance(error, CONFIGURATION_ERRORS) else EXIT_UNUSABLE
        logging.getLogger("trader").error("%s", error)
        logs.stop()
        if is_journal_stream():
            raise typer.Exit(code) from None
        fail(str(error), code)
    except Exception:
        logging.getLogger("trader").exception("the service ends: an invariant is broken")
        raise typer.Exit(EXIT_FAILED) from None
    finally:
        logs.stop()


async def _run(service: "Service") -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, service.request_stop, signal.Signals(number).name)
    loop.add_signal_handler(signal.SIGHUP, service.reload)
    await service.run()
