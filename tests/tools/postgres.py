"""A real PostgreSQL server for tests: from the machine, else from Debian's packages, only unpacked.

Rules: a server listens on a socket in its own folder and on no port; it does not run as root, which PostgreSQL
refuses, but as ``postgres`` or ``nobody``. Where it cannot be had, ProgramsMissing says why.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

from trader.stack.errors import ProgramsMissing
from trader.stack.packages import unpack

TOOLS: Final = Path(__file__).resolve().parents[2] / ".tools"
INSTALLED: Final = Path("/usr/lib/postgresql")
DEPENDS: Final = re.compile(r"^\s*\|?Depends: (postgresql-(?:client-)?\d+|lib[\w.+-]+)$", re.MULTILINE)
TIMEOUT_S: Final = 60.0


class Postgres(NamedTuple):
    """Where the programs are, and the folder of their libraries where these were unpacked with them."""

    programs: Path
    libraries: Path | None = None


def find_postgres(tools: Path = TOOLS, installed: Path = INSTALLED) -> Postgres:
    """The newest server of this machine, else one unpacked below ``tools``; raises ProgramsMissing."""
    if found := _newest(installed):
        return Postgres(found)
    root = tools / "postgresql"
    if not _newest(root / "usr/lib/postgresql"):
        unpack(tools, root, _packages(), lambda: _newest(root / "usr/lib/postgresql") is not None)
    programs = _newest(root / "usr/lib/postgresql")
    if programs is None:
        raise ProgramsMissing(f"the packages of PostgreSQL have no initdb in {root}")
    libraries = next((root / "usr/lib").glob("*-linux-gnu*"), None)
    return Postgres(programs, libraries)


def _newest(folder: Path) -> Path | None:
    found = sorted(folder.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _packages() -> list[str]:
    """The server's package, its client's and the libraries that it names."""
    server = next((name for name in _depends("postgresql") if "client" not in name), None)
    if server is None:
        raise ProgramsMissing("apt does not know PostgreSQL here (type: apt-get update)")
    libraries = [name for name in _depends(server) if not name.startswith(("libc6", "libgcc", "libstdc++", "libllvm"))]
    return [server, *libraries]


def _depends(package: str) -> list[str]:
    if shutil.which("apt-cache") is None:
        raise ProgramsMissing("PostgreSQL is not installed, and there is no apt-cache to find its packages with")
    said = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True, check=False)
    return list(dict.fromkeys(DEPENDS.findall(said.stdout)))


class PostgresServer:
    """A server that only a socket in its own folder leads to."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.folder = folder
        self._postgres = postgres
        self._user = _user() if os.geteuid() == 0 else None
        if self._user is not None:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)

    def run(self, program: str, *arguments: str, content: str | None = None) -> str:
        libraries = self._postgres.libraries
        ran = subprocess.run(
            [str(self._postgres.programs / program), *arguments],
            user=self._user, cwd=self.folder, input=content, capture_output=True, text=True, timeout=TIMEOUT_S,
            env={**os.environ, **({"LD_LIBRARY_PATH": str(libraries)} if libraries else {})}, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def create(self) -> None:
        self.run(
            "initdb", "--pgdata=data", "--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8",
            "--locale=C",
        )  # fmt: skip
        self.start()

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder} -c fsync=off"
        self.run("pg_ctl", "--pgdata=data", "--log=log", "--wait", f"--options={options}", "start")

    def stop(self) -> None:
        """The end of a server without a word to its clients, as a crash of it."""
        self.run("pg_ctl", "--pgdata=data", "--mode=immediate", "stop")

    def pause(self) -> None:
        """From here on the server says nothing, and its connections stand: as behind a cable that was pulled."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        main = (self.folder / "data" / "postmaster.pid").read_text().splitlines()[0]
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for process in (main, *children):
            os.kill(int(process), number)

    def psql(self, database: str, content: str) -> str:
        return self.run(
            "psql", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", "--single-transaction",
            f"--host={self.folder}", "--username=postgres", database, content=content,
        )  # fmt: skip

    def create_database(self, name: str) -> str:
        """An empty database; its address as a journal's."""
        self.run("createdb", f"--host={self.folder}", "--username=postgres", name)
        return self.url(name)

    def url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres:unused@/{database}?host={self.folder}"


def _user() -> str:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ProgramsMissing("PostgreSQL does not run as root, and there is no other user here")
