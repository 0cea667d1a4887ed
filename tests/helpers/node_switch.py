"""Switches of an API server's nodes, for processes other than the test's: commands, as one has for real machines."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.kubernetes.apiserver import ApiServer

ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1] + sys.argv[2]).close()"


@contextmanager
def node_switches(server: ApiServer) -> Iterator[tuple[str, str]]:
    """Commands in which ``{node}`` stands for a node: one that stops it where it is, and one that lets it go on.

    What ran there goes on as well, and finds a world that has gone on without it.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            _, what, node = self.path.split("/")
            if what == "off":
                server.vanish(node, frozen=True, cut=True)
            else:
                server.come_back(node)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, name="node switches")
        thread.start()
        url = f"http://127.0.0.1:{http.server_port}"
        ask = shlex.join([sys.executable, "-c", ASK])
        try:
            yield f"{ask} {url}/off/ {{node}}", f"{ask} {url}/on/ {{node}}"
        finally:
            http.shutdown()
            thread.join()
