"""Runs in the machine under test as the main process of one of our units, in place of its program: asks, then answers.

    python probe_host.py MODULE ARGUMENT…

Rules: it imports nothing but Python's own library, and the module beside it, whose ``probe`` says what it found. Once
that is known, systemd is told that the unit is ready; from then on it is kept alive, and port 7891 on every address
answers with what was found, as JSON.
"""

import http.server
import importlib
import json
import os
import socket
import sys
import threading

PORT = 7891
KEEP_ALIVE_S = 2.0


def main() -> None:
    module, *arguments = sys.argv[1:]
    found = json.dumps(importlib.import_module(module).probe(*arguments)).encode()
    server = http.server.ThreadingHTTPServer(("0.0.0.0", PORT), _handler(found))  # beyond loopback is what is tried
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _tell("READY=1")
    while True:
        threading.Event().wait(KEEP_ALIVE_S)
        _tell("WATCHDOG=1")


def _tell(text: str) -> None:
    address = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        told.send(text.encode())


def _handler(found: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            self.wfile.write(found)

        def log_message(self, *_: object) -> None: ...

    return Answer


if __name__ == "__main__":
    main()
