"""Where checkpoints and a job's small records live: in Redis, or in a directory. This package does IO.

Three interfaces: a `Ledger` of small records with compare-and-set; `Chunks`, immutable bytes under names made from
their content; `Log`, to which each entry is appended once however often that is tried. `open_store` opens all from one
URL; `Store.job` gives each job its own. Upon the first two stand, knowing nothing of what is behind them: `Checkpoints`
(which there are), `retain` (how they end), `erase` and `Identity` (whether the store is still the one it was).

What must never live here: what a checkpoint means. Nothing of dataflow is known, bytes are bytes.
"""

from limnad.store.checkpoints import Checkpoints, Manifest
from limnad.store.erasing import begin_erasing, erase
from limnad.store.errors import (
    BadUrl,
    ChunkCorrupt,
    ChunkMissing,
    Conflict,
    Full,
    Gap,
    LostState,
    StoreError,
    Unavailable,
    Unsafe,
)
from limnad.store.identity import Identity, Witness
from limnad.store.interface import ABSENT, ChunkRef, Chunks, Durability, Guard, Ledger, Record, Space, Store, Version
from limnad.store.logs import Entry, Last, Log, LogState, New
from limnad.store.opening import open_store
from limnad.store.retention import Swept, retain

__all__ = [
    "ABSENT",
    "BadUrl",
    "Checkpoints",
    "ChunkCorrupt",
    "ChunkMissing",
    "ChunkRef",
    "Chunks",
    "Conflict",
    "Durability",
    "Entry",
    "Full",
    "Gap",
    "Guard",
    "Identity",
    "Last",
    "Ledger",
    "Log",
    "LogState",
    "LostState",
    "Manifest",
    "New",
    "Record",
    "Space",
    "Store",
    "StoreError",
    "Swept",
    "Unavailable",
    "Unsafe",
    "Version",
    "Witness",
    "begin_erasing",
    "erase",
    "open_store",
    "retain",
]
