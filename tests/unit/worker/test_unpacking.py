"""Archives that could do harm are refused, and others come out as they went in."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limnad.client.packing import pack
from limnad_worker import unpacking
from limnad_worker.unpacking import BadArchive, check, safe_path, tidy, turn, unpack

Make = Callable[[zipfile.ZipFile], None]


def archive(folder: Path, make: Make) -> Path:
    file = folder / "archive.zip"
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        warnings.simplefilter("ignore")  # of names that come twice
        make(opened)
    return file


def entry(name: str, mode: int = stat.S_IFREG | 0o644, text: str = "x") -> Make:
    def make(opened: zipfile.ZipFile) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        opened.writestr(info, text)

    return make


def both(first: Make, second: Make) -> Make:
    def make(opened: zipfile.ZipFile) -> None:
        first(opened)
        second(opened)

    return make


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (entry("../outside.py"), "relative"),
        (entry("a/../../outside.py"), "relative"),
        (entry("/etc/outside"), "relative"),
        (entry("C:/outside"), "relative"),
        (entry("..\\outside.py"), "relative"),
        (entry("a\nb"), "relative"),
        (entry("link", stat.S_IFLNK | 0o777, "/etc/passwd"), "link or a device"),
        (entry("device", stat.S_IFCHR | 0o666), "link or a device"),
        (entry("pipe", stat.S_IFIFO | 0o666), "link or a device"),
        (both(entry("a"), entry("a")), "twice"),
        (both(entry("a/b"), entry("a")), "as a file and as a folder"),
    ],
)
def test_what_could_do_harm_is_refused(tmp_path: Path, make: Make, complaint: str) -> None:
    file = archive(tmp_path, make)
    with pytest.raises(BadArchive, match=complaint):
        check(file)
    with pytest.raises(BadArchive, match=complaint):
        unpack(file, tmp_path, "digest")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.zip"]


def test_what_is_no_zip_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "archive.zip"
    file.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(BadArchive, match="no zip file"):
        check(file)


def test_a_bomb_is_refused_by_its_table_of_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_UNPACKED_BYTES", 1000)
    with pytest.raises(BadArchive, match="1,001 bytes or more unpacked"):
        check(archive(tmp_path, entry("a", text="x" * 1001)))


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MAX_FILES", 1)
    with pytest.raises(BadArchive, match="has 2 entries"):
        check(archive(tmp_path, both(entry("a"), entry("b"))))


def test_a_bomb_that_lies_about_its_size_is_refused_when_it_comes_out(tmp_path: Path) -> None:
    file = archive(tmp_path, entry("a", text="x" * 1_000_000))
    data = bytearray(file.read_bytes())
    size = (1_000_000).to_bytes(4, "little")
    for at in [place for place in range(len(data)) if data[place : place + 4] == size]:
        data[at : at + 4] = (10).to_bytes(4, "little")
    file.write_bytes(data)
    check(file)
    with pytest.raises(BadArchive, match="damaged"):
        unpack(file, tmp_path, "digest")
    assert not (tmp_path / "digest").exists()


def test_any_byte_that_is_changed_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    file = archive(tmp_path, both(entry("a.py", text="first" * 50), entry("b/c.py", text="second" * 50)))
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            folder = unpack(file, tmp_path, f"digest{place}")
        except BadArchive:
            continue
        for path in folder.rglob("*"):
            assert path.resolve().is_relative_to(folder.resolve())


names = st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=20)
parts = st.lists(st.one_of(names, st.sampled_from(["..", ".", "", "a"])), min_size=1, max_size=5)


@given(parts)
def test_a_path_that_is_taken_stays_inside(path: list[str]) -> None:
    try:
        taken = safe_path("/".join(path))
    except BadArchive:
        return
    assert os.path.normpath(Path("root") / taken).startswith("root")


def test_a_packed_folder_comes_out_as_it_went_in(tmp_path: Path) -> None:
    files = {"job.py": "def job(flow): ...", "lib/a.py": "A = 1", "lib/data.json": "{}"}
    left_out = [".git/config", "lib/__pycache__/a.pyc", ".hidden"]
    for name in [*files, *left_out]:
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files.get(name, ""))
    packed = pack(str(tmp_path / "project" / "job.py"), root=str(tmp_path / "project"))
    file = tmp_path / "job.zip"
    file.write_bytes(packed.data)
    check(file)
    folder = unpack(file, tmp_path, "digest")
    got = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert got.pop("limnad.json") == '{"path": "job.py", "function": "job"}'
    assert got == files


def unpacked(cache: Path, number: int) -> Path:
    """An archive that was unpacked, the later the higher its number."""
    folder = cache / f"{number:064x}"
    folder.mkdir(parents=True)
    os.utime(folder, (number, number))
    return folder


def there(cache: Path) -> set[int]:
    return {int(folder.name, 16) for folder in cache.iterdir() if folder.is_dir()}


def test_what_was_unpacked_and_nobody_works_from_goes(tmp_path: Path) -> None:
    for number in range(1, 6):
        unpacked(tmp_path, number)
    works = subprocess.Popen(
        [sys.executable, "-c", OCCUPIES, tmp_path / f"{1:064x}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with works:
        assert works.stdout is not None
        assert works.stdin is not None
        works.stdout.readline()
        os.utime(tmp_path / f"{1:064x}", (1, 1))
        with turn(tmp_path, f"{2:064x}"):  # Somebody is about to work from it.
            tidy(tmp_path, kept=2)
        assert there(tmp_path) == {1, 2, 4, 5}
        works.stdin.close()
    tidy(tmp_path, kept=2)
    assert there(tmp_path) == {4, 5}


OCCUPIES = """
import sys
from pathlib import Path
from limnad_worker.unpacking import occupy
occupy(Path(sys.argv[1]))
print("there", flush=True)
sys.stdin.read()
"""
