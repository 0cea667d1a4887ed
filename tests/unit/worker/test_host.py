"""Engines that cannot be started, as their leader hears of them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from limnad_proto.v1 import hosts_pb2 as wire
from limnad_worker.host import Host


@pytest.mark.parametrize("pipes", [0, 1])
def test_an_engine_for_which_there_are_no_descriptors_left_is_one_that_has_exited(
    pipes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    make = os.pipe
    left = [make] * pipes

    def pipe() -> Any:
        if not left:
            raise OSError(24, "Too many open files")
        return left.pop()()

    async def run() -> wire.FromHost:
        heard: asyncio.Queue[wire.FromHost] = asyncio.Queue()
        host = Host(1, "127.0.0.1", tmp_path, None, heard.put_nowait)
        monkeypatch.setattr(os, "pipe", pipe)
        host.tell(wire.ToHost(spawn=wire.SpawnEngine(engine=7)))
        said = await heard.get()
        await host.stop()
        return said

    said = asyncio.run(run())
    assert said.exited.engine == 7
    assert said.exited.how.startswith("could not be started")
    monkeypatch.undo()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
