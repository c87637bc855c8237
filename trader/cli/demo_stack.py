"""``trader demo --stack``: the demonstration in real time, watched by Prometheus and Alertmanager.

Rules: Alertmanager's policy alerts go to the demonstration itself, as they do in earnest; pages and tickets go to the
stack's inbox. Rules are evaluated each second, so that one minute shows something; how long an alert has to hold is as
shipped.
"""

import secrets
from contextlib import AsyncExitStack
from typing import Final

import msgspec
from rich.console import Console

from observability.webhook import PATH
from trader.cli.stack_view import urls
from trader.demo import DemoOptions
from trader.session.calendar import ALWAYS
from trader.stack import Stack, StackOptions
from trader.stack.children import free_port

INTERVAL_S: Final = 1.0


def watched_options(options: DemoOptions) -> tuple[DemoOptions, StackOptions]:
    """The demonstration's options for being watched, and the stack that watches it; writes the token's file."""
    port = options.metrics_port or free_port()
    token = secrets.token_urlsafe(24)
    token_file = options.folder / "policy-token"
    token_file.touch(mode=0o600)
    token_file.write_text(token)
    address = f"127.0.0.1:{port}"
    stack = StackOptions(
        folder=options.folder / "stack",
        traders=(address,),
        calendar=ALWAYS,
        scrape_interval_s=INTERVAL_S,
        evaluation_interval_s=INTERVAL_S,
        receivers={"policy": f"http://{address}{PATH}"},
        token=token,
    )
    demo = msgspec.structs.replace(options, metrics_port=port, begin="now", policy_token_file=token_file)
    return demo, stack


async def start_stack(options: StackOptions, console: Console, closing: AsyncExitStack) -> Stack:
    """Start the stack, which ends when ``closing`` does, and say where it is."""
    console.print("starting Prometheus, Alertmanager and node_exporter …", style="dim")
    stack = await closing.enter_async_context(Stack(options))
    console.print(urls(stack), highlight=False)
    return stack
