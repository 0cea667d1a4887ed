"""What the name of an image stands for on this machine."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[4]
"""Of the checkout."""


@dataclass(frozen=True, slots=True)
class Image:
    """Programs of this machine.

    Attributes:
        path: Where its programs are, before the machine's own.
        entrypoint: What runs if a container has no command.
        keeps: Folders of this machine that are there whatever is mounted over them.
        env: Its variables.
    """

    path: tuple[Path, ...] = ()
    entrypoint: tuple[str, ...] = ()
    keeps: tuple[Path, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_this_checkout(cls, **env: str) -> Self:
        """With the Python environment that runs the tests."""
        prefix = Path(sys.prefix)
        return cls(
            (prefix / "bin",), ("limnad",), (ROOT, prefix, Path(sys.base_prefix)), {"POLARS_MAX_THREADS": "1", **env}
        )


class Images:
    """Those that can be pulled.

    Args:
        images: By patterns of whole names, without registry and tag: ``limnad``, ``redis.*``.
    """

    def __init__(self, images: dict[str, Image]) -> None:
        self._images = dict(images)

    def put(self, pattern: str, image: Image) -> None:
        """From now on it can be pulled."""
        self._images[pattern] = image

    def find(self, reference: str) -> Image | None:
        """What a container's image stands for; None: it cannot be pulled. A tag ``missing`` is never there."""
        name, _, tag = reference.rpartition("/")[2].partition("@")[0].partition(":")
        if tag == "missing":
            return None
        found = [image for pattern, image in self._images.items() if re.fullmatch(pattern, name)]
        return found[-1] if found else None
