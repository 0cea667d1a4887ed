"""The relay that drills and tests of faults put between processes."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from limnad.cli.app import app
from limnad.cli.drill import FAULTS
from limnad.cli.relay import Relay, Way


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := self.request.recv(100):
                self.request.sendall(data)


@pytest.fixture
def target() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def said(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    return connection.recv(100)


def test_what_is_sent_through_a_proxy_arrives(target: str) -> None:
    with Relay() as relay, connect(relay.proxy.removeprefix("http://")) as connection:
        assert said(connection, f"CONNECT {target} HTTP/1.1\r\nhost: x\r\n\r\n".encode()) == b"HTTP/1.1 200 OK\r\n\r\n"
        assert said(connection, b"a") == b"a"
        assert relay.targets() == [target]


def test_a_relay_stands_before_a_server_and_is_gone_with_its_block(target: str) -> None:
    with Relay() as relay:
        address = relay.before(target)
        with connect(address) as connection:
            assert said(connection, b"a") == b"a"
    with pytest.raises(ConnectionRefusedError):
        connect(address)


def test_connections_are_reset(target: str) -> None:
    with Relay() as relay, connect(relay.before(target)) as connection:
        assert said(connection, b"a") == b"a"
        assert relay.reset(target) == 1
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
        assert relay.reset("127.0.0.1:1") == 0


@pytest.mark.parametrize("held", Way)
def test_what_is_held_comes_when_it_is_let_go(target: str, held: Way) -> None:
    with Relay() as relay, connect(relay.before(target)) as connection:
        assert said(connection, b"a") == b"a"
        relay.hold(lambda to, way: to == target and way is held)
        connection.sendall(b"b")
        connection.settimeout(0.05)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        connection.settimeout(30)
        relay.hold(None)
        assert connection.recv(100) == b"b"


def test_a_slow_relay_loses_nothing(target: str) -> None:
    with Relay() as relay, connect(relay.before(target)) as connection:
        relay.slow(100_000)
        assert said(connection, b"a" * 100) == b"a" * 100
        relay.slow(None)
        assert said(connection, b"b") == b"b"


def test_the_drills_help_names_all_its_faults() -> None:
    told = CliRunner().invoke(app, ["drill", "--help"], env={"COLUMNS": "200"}).output
    assert [fault for fault in FAULTS if fault not in told] == []
