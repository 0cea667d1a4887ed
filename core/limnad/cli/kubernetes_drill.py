"""``limnad drill --kubernetes``: handed over to the operator's package, which the library does not import."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from limnad.errors import JobError

MODULE = "limnad_operator.drill"


def drill_arguments(given: Mapping[str, object]) -> list[str]:
    """Flags of that package from options; what was not given has its default there.

    >>> drill_arguments({"namespace": "limnad", "rounds": None, "json": True})
    ['--namespace', 'limnad', '--json']
    """
    found: list[str] = []
    for name, value in given.items():
        if value is True:
            found.append(f"--{name}")
        elif value is not None and value is not False:
            found += [f"--{name}", str(value)]
    return found


def become_kubernetes_drill(arguments: Sequence[str]) -> None:
    """Becomes the drill: this process is its process.

    Raises:
        JobError: What it needs is not installed.
    """
    if find_spec("kubernetes") is None:
        raise JobError("limnad drill --kubernetes needs the client of Kubernetes: pip install 'limnad[operator]'")
    os.execv(sys.executable, [sys.executable, "-m", MODULE, *arguments])  # noqa: S606
