"""Archives that no job is made from go after a while."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from limnad.store import StoreError
from limnad_worker import archives as module
from limnad_worker.archives import UNUSED_S, Archives, Unused


async def pieces(name: str) -> AsyncIterator[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr(name, "x")
    yield packed.getvalue()


def test_what_is_uploaded_again_or_used_meanwhile_stays() -> None:
    unused = Unused()
    assert not unused.look({"a", "b", "c"}, set(), 0.0)
    unused.uploaded("b")
    assert not unused.look({"a", "b", "c"}, {"c"}, UNUSED_S / 2)
    assert unused.look({"a", "b", "c"}, set(), UNUSED_S) == ["a"]
    assert unused.look({"b", "c"}, set(), 2 * UNUSED_S) == ["b", "c"]


def test_a_leader_keeps_the_archives_of_its_jobs_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.0)
    monkeypatch.setattr(module, "UNUSED_S", 0.0)

    async def run() -> None:
        kept = Archives(tmp_path, None)
        used = await kept.receive(pieces("used"))
        await kept.receive(pieces("never submitted"))
        looks = 0

        async def of_jobs() -> set[str]:
            nonlocal looks
            looks += 1
            if looks == 1:
                raise StoreError("not all jobs are known yet")
            if looks == 3:
                raise RuntimeError("enough")
            return {used}

        with pytest.raises(RuntimeError, match="enough"):
            await kept.keep_tidy(of_jobs)
        assert await kept.names() == {used}

    asyncio.run(run())
