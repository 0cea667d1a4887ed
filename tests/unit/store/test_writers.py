"""A process that dies while it writes, in both stores."""

import subprocess
import sys
from collections.abc import Callable

from limnad.store import Store

WRITER = """
import sys
from limnad.store import open_store
def datas():
    for number in range(10**9):
        if number == 2000:
            print("writing", flush=True)
        yield b"%d" % number * 100
open_store(sys.argv[1]).job("j").chunks.put_many(datas(), mark=1)
"""


def test_a_writer_that_is_killed_leaves_whole_chunks_only(opened: Callable[[], Store], url: str) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        writer.kill()
    chunks = opened().job("j").chunks
    there = sorted(chunks.has(chunks.refs()))
    assert len(there) >= 1000
    assert len(list(chunks.get_many(there))) == len(there)
    datas = [b"%d" % number * 100 for number in range(3000)]
    assert list(chunks.get_many(chunks.put_many(datas, mark=2))) == datas
