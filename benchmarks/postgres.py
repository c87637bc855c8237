"""A PostgreSQL server of a benchmark's own, which syncs its disk as a real one does.

Rules: the programs are those of the tests' server, which runs without syncing; this one does not. It listens on a
socket in a temporary folder and on no port, and ends with the benchmark. Where it cannot be had, ProgramsMissing says
why.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools.postgres import Postgres, PostgresServer, find_postgres


class Server(PostgresServer):
    """A server with PostgreSQL's own settings of what is synced, and databases by number."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        super().__init__(postgres, folder)
        self._databases = 0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator["Server"]:
        """A new server until the end of the block; raises ProgramsMissing."""
        with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
            server = cls(find_postgres(), Path(folder))
            server.create()
            try:
                yield server
            finally:
                server.stop()

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories={self.folder}"
        self.run("pg_ctl", "--pgdata=data", "--log=log", "--wait", f"--options={options}", "start")

    def new_database(self) -> str:
        """The address of an empty database."""
        self._databases += 1
        return self.create_database(f"benchmark_{self._databases}")
