"""Archives are unpacked safely: what a zip file says of itself is not believed.

An archive holds plain files under relative paths and nothing else: no link, no device, no path that leaves its folder,
no two entries for one file. It is limited in files and in bytes, and the bytes are counted as they come out.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from limnad.errors import JobError

MAX_ARCHIVE_BYTES = 256 << 20
"""Of the zip file: code and wheels; data belongs where a source reads it."""

MAX_UNPACKED_BYTES = 1 << 30
"""Of all files together: what wheels of some size need, and less than what fills a disk."""

MAX_FILES = 20_000
"""A wheel with everything that it needs has some thousands."""

COPY_BYTES = 1 << 20
"""How much is unpacked at a time."""

KEPT_FOLDERS = 8
"""So many archives stay unpacked on a machine, beside those that engines work from: the newest."""


_DIGEST = re.compile(r"[0-9a-f]{64}")


class BadArchive(JobError):
    """An archive is refused; says why."""


def check(file: Path) -> None:
    """Refuses an archive that could do harm, as far as its table of contents tells.

    Raises:
        BadArchive: See the module.
    """
    with _opened(file) as archive:
        _checked(archive)


def unpack(file: Path, cache: Path, digest: str) -> Path:
    """Unpacks an archive once, under its digest; returns the folder.

    Args:
        file: The zip file.
        cache: Holds a folder for each archive.
        digest: What the zip file is called.

    Raises:
        BadArchive: See the module.
        OSError: There is no room.
    """
    folder = cache / digest
    fresh = Path(tempfile.mkdtemp(prefix=f"{digest[:8]}-", dir=cache))
    try:
        with _opened(file) as archive:
            left = MAX_UNPACKED_BYTES
            for entry, path in _checked(archive):
                left -= _write(archive, entry, fresh / path, left)
        fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


@contextmanager
def turn(cache: Path, digest: str, *, patient: bool = True) -> Iterator[bool]:
    """One process of a machine at a time fetches an archive, or removes what was unpacked of it.

    Args:
        cache: See `unpack`.
        digest: Of the archive.
        patient: Whether to wait until it is this one's turn; else the block is told whether it is.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{digest}.lock", "w") as file:
        yield _locked(file.fileno(), fcntl.LOCK_EX, patient=patient)


def occupy(folder: Path) -> None:
    """What is in that folder stays as long as this process lives; in its `turn`."""
    os.utime(folder)
    # Closed, and so unlocked, by the end of the process.
    _locked(os.open(folder, os.O_RDONLY | os.O_CLOEXEC), fcntl.LOCK_SH, patient=True)


def tidy(cache: Path, kept: int = KEPT_FOLDERS) -> None:
    """Removes what was unpacked and nobody works from, but for the newest.

    Args:
        cache: See `unpack`.
        kept: See `KEPT_FOLDERS`.
    """
    folders = [folder for folder in cache.iterdir() if folder.is_dir() and _DIGEST.fullmatch(folder.name)]
    with suppress(FileNotFoundError):  # Another process does the same.
        for folder in sorted(folders, key=lambda folder: folder.stat().st_mtime, reverse=True)[kept:]:
            with turn(cache, folder.name, patient=False) as mine:
                if mine and _is_free(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def _is_free(folder: Path) -> bool:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _locked(handle, fcntl.LOCK_EX, patient=False)
    finally:
        os.close(handle)


def _locked(handle: int, kind: int, *, patient: bool) -> bool:
    try:
        fcntl.flock(handle, kind if patient else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _opened(file: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # noqa: BLE001 - see `_read`
        raise BadArchive(f"the archive is no zip file: {error}") from None


def _checked(archive: zipfile.ZipFile) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Its files, and where each belongs."""
    entries = archive.infolist()
    if len(entries) > MAX_FILES:
        raise BadArchive(f"the archive has {len(entries):,} entries, and may have {MAX_FILES:,}")
    if (size := sum(entry.file_size for entry in entries)) > MAX_UNPACKED_BYTES:
        raise BadArchive(_too_large(size))
    files: dict[PurePosixPath, zipfile.ZipInfo] = {}
    folders: set[PurePosixPath] = set()
    for entry in entries:
        path = safe_path(entry.filename)
        _check_kind(entry)
        folders.update(path.parents)
        if entry.is_dir():
            folders.add(path)
        elif path in files:
            raise BadArchive(f"the archive has {entry.filename!r} twice")
        else:
            files[path] = entry
    if both := folders & files.keys():
        raise BadArchive(f"the archive has {str(min(both))!r} as a file and as a folder")
    return [(entry, path) for path, entry in files.items()]


def safe_path(name: str) -> PurePosixPath:
    """Where an entry belongs, below the archive's folder.

    >>> str(safe_path("package/module.py"))
    'package/module.py'

    Raises:
        BadArchive: It would leave that folder, or somewhere might.
    """
    path = PurePosixPath(name)
    odd = any(ord(letter) < 32 for letter in name) or "\\" in name or ":" in name
    if odd or not path.parts or path.is_absolute() or ".." in path.parts or len(name) > 1024:
        raise BadArchive(f"the archive has an entry {name[:80]!r}: paths are relative, without '..', '\\' and ':'")
    return path


def _check_kind(entry: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR) or (kind == stat.S_IFDIR) > entry.is_dir():
        raise BadArchive(f"the archive has {entry.filename!r}, which is a link or a device: only files may be in it")
    if entry.flag_bits & 0x1:
        raise BadArchive(f"{entry.filename!r} in the archive is encrypted")


def _write(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, left_bytes: int) -> int:
    """Unpacks one file; its size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with target.open("xb") as sink:
        for piece in _read(archive, entry):
            size += len(piece)
            if size > left_bytes:
                raise BadArchive(_too_large(size))
            sink.write(piece)
    return size


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(entry) as source:
            while piece := source.read(COPY_BYTES):
                yield piece
    except Exception as error:  # noqa: BLE001 - zipfile raises what the bytes make it: OSError, struct.error, zlib.error
        raise BadArchive(f"{entry.filename!r} in the archive is damaged: {error}") from None


def _too_large(size: int) -> str:
    return (
        f"the archive has {size:,} bytes or more unpacked, and may have {MAX_UNPACKED_BYTES:,}: data belongs where a "
        "source reads it"
    )
