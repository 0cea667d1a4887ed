"""A real Prometheus of one's own: started on loopback in a fresh folder, ended by its process id."""

import contextlib
import json
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.helpers.debian import find_program

_LISTENING = re.compile(r"address=(127\.0\.0\.1:\d+)")
_LIMIT_S = 60.0


class ScrapeRelay:
    """Stands between Prometheus and what it scrapes, so that a test may wait for a scrape instead of for a while.

    Args:
        url: What is scraped.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._begun = 0
        self._changed = threading.Condition()
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                relay._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        with self._changed:
            self._begun += 1
            self._changed.notify_all()
        asked = urllib.request.Request(self._url, headers={"Accept": handler.headers["Accept"]})
        with urllib.request.urlopen(asked, timeout=_LIMIT_S) as page:
            body = page.read()
            kind = page.headers["Content-Type"]
        with contextlib.suppress(ConnectionError):  # Prometheus has given up this one.
            handler.send_response(200)
            handler.send_header("Content-Type", kind)
            handler.end_headers()
            handler.wfile.write(body)

    def wait(self) -> None:
        """Returns when a scrape that has begun after this call has been taken in.

        Prometheus begins its next scrape of a target only when it has stored the one before.
        """
        with self._changed:
            wanted = self._begun + 2
            assert self._changed.wait_for(lambda: self._begun >= wanted, _LIMIT_S), "Prometheus does not scrape"

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


class PrometheusServer:
    """A server that scrapes one target, every two seconds.

    Args:
        url: The target's.
    """

    def __init__(self, url: str) -> None:
        advice = "Install one (Debian, Ubuntu: apt-get install prometheus; macOS: brew install prometheus)"
        program = find_program("prometheus", "prometheus", "LIMNAD_PROMETHEUS", advice)
        self._folder = Path(tempfile.mkdtemp(prefix="limnad-prometheus-"))
        self._relay = ScrapeRelay(url)
        (self._folder / "prometheus.yml").write_text(
            "global: {scrape_interval: 2s, scrape_timeout: 2s}\n"
            "scrape_configs:\n"
            "  - job_name: limnad\n"
            f"    static_configs: [{{targets: ['{self._relay.address}']}}]\n"
        )
        self._process = subprocess.Popen(
            [
                program,
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._address = self._started()

    def _started(self) -> str:
        assert self._process.stderr is not None
        said, address = [], ""
        for line in self._process.stderr:
            said.append(line)
            if found := _LISTENING.search(line):
                address = found[1]
            if "Server is ready to receive web requests" in line:
                self._rest = threading.Thread(target=self._process.stderr.read, daemon=True)
                self._rest.start()
                return address
        raise RuntimeError(f"prometheus did not start:\n{''.join(said)}")

    def after_scrape(self, query: str) -> dict[frozenset[tuple[str, str]], float]:
        """Waits for a scrape that begins now and succeeds, then asks as `ask` does.

        On a busy machine another one may time out behind it, which ends all series: ask for ``last_over_time``.
        """
        now_s = time.time()
        while not self.ask(f"up == 1 and timestamp(up) > {now_s:.3f}"):
            self._relay.wait()
        return self.ask(query)

    def ask(self, query: str) -> dict[frozenset[tuple[str, str]], float]:
        """The value of each series by its labels, without those of the target."""
        told = self._get(f"query?query={urllib.parse.quote(query)}")
        return {
            frozenset((name, value) for name, value in each["metric"].items() if name not in _OF_TARGET): float(
                each["value"][1]
            )
            for each in told["data"]["result"]
        }

    def names(self) -> set[str]:
        """All metrics that were ever scraped."""
        return set(self._get("label/__name__/values")["data"])

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"http://{self._address}/api/v1/{what}", timeout=_LIMIT_S) as page:
            return json.load(page)

    def close(self) -> None:
        """Ends it and removes its folder."""
        self._process.kill()
        self._process.wait()
        self._rest.join()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._relay.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_OF_TARGET = ("__name__", "instance", "job")
