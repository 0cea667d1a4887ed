"""Frames that a checkpoint writes while the engine uses them."""

import subprocess
import sys

TWO_THREADS = """
import sys, threading
import polars as pl
from limnad.batch import encode

frame = pl.DataFrame({"number": range(2_000), "text": ["x" * 50] * 2_000})
sys.setswitchinterval(1e-6)
thread = threading.Thread(target=lambda: [encode(frame) for _ in range(2_000)], daemon=True)
thread.start()
while thread.is_alive():
    frame.height
"""


def test_a_frame_can_be_encoded_while_another_thread_uses_it() -> None:
    """In a process of its own: two threads that wait for each other inside Polars cannot be interrupted."""
    assert subprocess.run([sys.executable, "-c", TWO_THREADS], check=False, timeout=100).returncode == 0
