"""Commands in a machine: entered through the namespaces of its PID 1, with nothing of the host's environment."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.lab.errors import CommandFailed

COMMAND_TIMEOUT_S: Final = 120.0
NAMESPACES: Final = ("--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup")
ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "USER": "root",
    "LOGNAME": "root",
    "LANG": "C.UTF-8",
}
PLAIN: Final = {"SYSTEMD_PAGER": "", "SYSTEMD_COLORS": "0"}


@dataclass(frozen=True)
class Completed:
    """A command that ended: what it was, its code (negative: the signal that ended it), and what it said."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """All that it said: the output, then the errors."""
        return self.stdout + self.stderr

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}: exit code {self.returncode}\n{self.output}"


def inside(leader_pid: int, argv: Sequence[str | Path], env: Mapping[str, str]) -> list[str]:
    """The command line that runs ``argv`` inside, as root, in `/`."""
    variables = [f"{name}={value}" for name, value in {**ENVIRONMENT, **env}.items()]
    enter = ["nsenter", f"--target={leader_pid}", *NAMESPACES, "--", "/usr/bin/env", "--ignore-environment"]
    return [*enter, *variables, *map(str, argv)]


def run_command(
    leader_pid: int,
    argv: Sequence[str | Path],
    *,
    check: bool,
    timeout_s: float,
    input_text: str | None,
    env: Mapping[str, str] | None,
) -> Completed:
    """Runs ``argv`` inside and waits for it; raises CommandFailed as ``Lab.run`` says."""
    words = tuple(map(str, argv))
    with subprocess.Popen(
        inside(leader_pid, words, {**PLAIN, **(env or {})}),
        stdin=subprocess.DEVNULL if input_text is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            stdout, stderr = process.communicate(input_text, timeout=timeout_s)
        except BaseException as error:
            # The command is a child of the one that entered, in its process group.
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                said = stdout + stderr
                raise CommandFailed(f"{' '.join(words)}: not done within {timeout_s:g} s\n{said}") from error
            raise
    completed = Completed(words, process.returncode, stdout, stderr)
    if check and completed.returncode != 0:
        raise CommandFailed(str(completed))
    return completed
