"""How soon a connection to a process that is stopped or cut off counts as lost; one that died breaks at once."""

import math
import os
from typing import Final

LINK_TIMEOUT: Final = "LIMNAD_LINK_TIMEOUT_S"
"""The variable that says after how many seconds without an answer a connection is given up."""

TIMEOUT_S: Final = 10.0
"""Long enough for a machine with many times more to do than it has processors, where an answer waits for seconds."""

EVERY_MS: Final = 3000
"""How long after the last sign of life the other side is asked for one."""


def ping_options() -> list[tuple[str, int | str]]:
    """For channels and servers: both ends ask.

    gRPC's own threads answer, so a process that is busy, even holding the GIL, is not taken for dead.

    Raises:
        ValueError: The variable is no number of seconds above 0.
    """
    told = os.environ.get(LINK_TIMEOUT, str(TIMEOUT_S))
    try:
        timeout_s = float(told)
    except ValueError:
        timeout_s = math.nan
    if not 0 < timeout_s < math.inf:
        raise ValueError(f"{LINK_TIMEOUT} is a number of seconds above 0, such as {TIMEOUT_S:g}, not {told!r}")
    timeout_ms = max(1, int(1000 * timeout_s))
    return [
        ("grpc.keepalive_time_ms", EVERY_MS),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        ("grpc.http2.ping_timeout_ms", timeout_ms),
        ("grpc.http2.max_pings_without_data", 0),
    ]
