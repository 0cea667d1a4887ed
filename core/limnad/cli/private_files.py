"""Files that nobody else may read: keys, tokens, and what may hold a store's password."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def write_privately(file: Path, content: bytes) -> None:
    """Readers see the old file or the new one; nobody but this user sees either."""
    descriptor, fresh = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")  # as mkstemp makes it: mode 0600
    try:
        with os.fdopen(descriptor, "wb") as target:
            target.write(content)
        Path(fresh).replace(file)
    except OSError:
        Path(fresh).unlink()
        raise
