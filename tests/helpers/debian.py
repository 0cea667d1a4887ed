"""Programs that tests need and no package of PyPI ships: found, or on a Debian where we are root installed."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_APT: Final = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-q", "-y")


def find_program(name: str, package: str, variable: str, advice: str) -> str:
    """The program.

    Args:
        name: What it is called.
        package: Debian's, which has it.
        variable: Of the environment, which may name another one.
        advice: How else to get it, a sentence.

    Raises:
        RuntimeError: There is none.
    """
    if named := os.environ.get(variable):
        return named
    if found := shutil.which(name):
        return found
    unknown = f"these tests need {name}. {advice}, or set {variable} to one"
    if os.geteuid() or not shutil.which("apt-get"):
        raise RuntimeError(unknown)
    # Tests may run side by side: one installs, the others wait.
    with (Path(tempfile.gettempdir()) / "limnad-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shutil.which(name):
            _apt(unknown, "update")
            _apt(unknown, "install", "--no-install-recommends", package)
    return shutil.which(name) or name


def _apt(unknown: str, *arguments: str) -> None:
    # The package would start a server as a service of the machine, where there is an init to do so.
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run([*_APT, *arguments], env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{unknown}. apt-get {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
