"""The kubelet of the tests: what nothing else would show."""

import asyncio
import gc
import socket
from pathlib import Path

from tests.kubernetes.apiserver.kubelet.network import stop_listening


def test_a_connection_that_comes_while_a_server_is_closed_is_handled(tmp_path: Path) -> None:
    """Else it is a socket that nobody closes, and the warning falls upon whatever test is next."""
    path = tmp_path / "socket"
    handled = []

    def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handled.append(writer)
        writer.close()

    async def talk() -> None:
        server = await asyncio.start_unix_server(accept, path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            await asyncio.sleep(0)  # The loop sees it,
            await asyncio.sleep(0)  # and has accepted it; nobody has been told.
            await stop_listening(server)
            await asyncio.sleep(0)
            client.settimeout(20)
            assert await asyncio.to_thread(client.recv, 1) == b""

    asyncio.run(talk())
    gc.collect()
    assert len(handled) == 1
