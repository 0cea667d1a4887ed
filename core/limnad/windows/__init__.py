"""Windows and event time: what belongs together by when it happened, not by when it came.

`EventTime` gives a stream of frames its event time and its watermark; from there lead tumbling, sliding and session
windows, joins by time, and functions by key with timers. All of it is written with the public vertices, streams and
states: what lives here no user could not have written.

What must never live here: a clock. Watermarks are made of rows, and processing time is a row too.
"""

from limnad.windows.event_time import EventTime, SessionGroups, SessionWindows, WindowGroups, Windows, ticks
from limnad.windows.timers import KeyContext, KeyedFunction

__all__ = [
    "EventTime",
    "KeyContext",
    "KeyedFunction",
    "SessionGroups",
    "SessionWindows",
    "WindowGroups",
    "Windows",
    "ticks",
]
