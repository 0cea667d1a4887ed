"""Archives: a job and what it imports, in one zip file.

The same files give the same bytes, so a job that is submitted again is stored once. An archive may hold
``limnad.json``, which names the job file and the function, and a folder ``packages``, which is on the module path.
"""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from limnad.errors import JobError

ENTRY = "limnad.json"
"""Names what is to be run."""

PACKAGES = "packages"
"""Holds what the job imports and workers do not have."""

MAX_BYTES = 256 << 20
"""Of an archive: code and wheels; data belongs where a source reads it."""

_LEFT_OUT = {"__pycache__", "node_modules"}
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Packed:
    """What is to be run.

    Attributes:
        path: The job file: in the archive, if there is one.
        function: The function in it.
        data: The archive; empty: there is none.
    """

    path: str
    function: str
    data: bytes = b""


def pack(path: str, function: str = "job", root: str | None = None, packages: Path | None = None) -> Packed:
    """Packs a job.

    Args:
        path: The job file; or an archive, which is taken as it is.
        function: The function in it.
        root: The folder with all that the job imports; None: the job file is all.
        packages: A folder of packages to go with it.

    Raises:
        JobError: There is no such file, it is not in that folder, or there is too much.
    """
    file = Path(path)
    if not file.is_file():
        hint = f" It is a folder: name the job file in it, and say --root {path}." if file.is_dir() else ""
        raise JobError(f"there is no job file {path!r} (looked from {Path.cwd()}).{hint}")
    if file.suffix == ".zip":
        return _packed_already(file, function)
    folder = Path(root) if root is not None else file.parent
    try:
        entry = file.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise JobError(f"the job file {path!r} is not in the folder {root!r}") from None
    files = {entry: file} if root is None else {each.relative_to(folder).as_posix(): each for each in _files(folder)}
    if packages is not None:
        files |= {f"{PACKAGES}/{each.relative_to(packages).as_posix()}": each for each in _files(packages)}
    data = _zipped(files, json.dumps({"path": entry, "function": function}))
    if len(data) > MAX_BYTES:
        raise JobError(
            f"the job's archive has {len(data):,} bytes, and may have {MAX_BYTES:,}: data belongs where a source reads "
            "it, not into the archive"
        )
    return Packed(entry, function, data)


def install(requirements: Sequence[str], folder: Path) -> None:
    """Puts packages and all that they need into a folder, from wheels only: for workers of the same platform.

    Args:
        requirements: As pip takes them: names, versions, files of wheels, ``-r FILE``.
        folder: Where to.

    Raises:
        JobError: pip could not; says what it said.
    """
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--only-binary=:all:", "--target", str(folder), *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise JobError(f"pip could not get {' '.join(requirements)}: {done.stderr.strip()[-1000:]}")


def write_archive(packed: Packed, target: Path) -> None:
    """Writes an archive to a file: the old one, or the new one, never half of it."""
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
        file.write(packed.data)
    Path(file.name).replace(target)


def _packed_already(file: Path, function: str) -> Packed:
    data = file.read_bytes()
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            said = json.loads(archive.read(ENTRY))
            return Packed(str(said["path"]), str(said["function"]) if function == "job" else function, data)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError):
        raise JobError(f"{str(file)!r} is no archive of a job: make one with limnad pack") from None


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder, but hidden ones, compiled ones and links that lead out of it."""
    inside = folder.resolve()
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFT_OUT)
        for name in sorted(names):
            file = Path(parent) / name
            if name.startswith(".") or name.endswith(".pyc") or not stat.S_ISREG(file.stat().st_mode):
                continue
            if not file.resolve().is_relative_to(inside):
                raise JobError(f"{str(file)!r} is a link that leads out of the job's folder: copy the file there")
            yield file


def _zipped(files: dict[str, Path], entry: str) -> bytes:
    held = BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            if name != ENTRY:
                archive.writestr(_info(name), files[name].read_bytes())
        archive.writestr(_info(ENTRY), entry)
    return held.getvalue()


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info
