"""A real browser: Debian's Chromium, found or installed, driven by playwright."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

_APT: Final = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "-q", "-y")
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_UNKNOWN: Final = (
    "these tests need a Chromium. Install one (Debian: apt-get install chromium), or set LIMNAD_CHROMIUM to one"
)


def find_chromium() -> str:
    """The program; on a Debian where we are root it is installed if need be.

    Raises:
        RuntimeError: There is none.
    """
    if found := os.environ.get("LIMNAD_CHROMIUM") or _installed():
        return found
    if os.geteuid() or not shutil.which("apt-get"):
        raise RuntimeError(_UNKNOWN)
    # Tests may run side by side: one installs, the others wait.
    with (Path(tempfile.gettempdir()) / "limnad-chromium-install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _installed():
            _apt("update")
            _apt("install", "--no-install-recommends", "chromium", "fonts-dejavu-core")
    if found := _installed():
        return found
    raise RuntimeError(f"{_UNKNOWN}: what apt-get installed is none")


def _installed() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def _apt(*arguments: str) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run([*_APT, *arguments], env=environment, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{_UNKNOWN}. apt-get {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless one."""
    # As root there is no sandbox; in containers /dev/shm is small.
    arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """Notes what a page must never do: errors, warnings, breaches of the policy, questions to other hosts."""

    def __init__(self, page: Page) -> None:
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.wrong.append(f"dialog: {dialog.message}"))
        page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))

    def forgive(self, *expected: str) -> None:
        """Takes out of what is wrong what the console says of something that the test has brought about."""
        self.wrong = [each for each in self.wrong if not any(text in each for text in expected)]


if __name__ == "__main__":
    sys.stdout.write(f"{find_chromium()}\n")
