"""Windows by event time: readings of sensors that come late, some too late, from sensors that fall silent.

What comes out: the mean of each sensor and minute once the minute is over, the readings that came too late for theirs,
and who has been silent for two minutes. Readings come in the order of an epoch; the times in them do not.

    limnad run examples/sensors.py -w 2 -a minutes=30
"""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

import limnad
from limnad.windows import EventTime, KeyContext, KeyedFunction

START = datetime.fromisoformat("2026-01-01T00:00")
SENSORS = 20
SILENCE = timedelta(minutes=2)


def readings(rng: np.random.Generator, start: int, count: int) -> pl.DataFrame:
    """A reading a second, seen up to some seconds later; one in fifty minutes later. Sensors sleep in turn."""
    seen = np.arange(start, start + count)
    sensor = rng.integers(0, SENSORS, count)
    awake = (seen // 300 + sensor) % 2 == 0
    delay = np.where(rng.random(count) < 0.02, 200, 0) + rng.integers(0, 10, count)
    at = pl.Series((seen - delay) * 1000).cast(pl.Duration("ms")) + START
    frame = pl.DataFrame({"sensor": sensor, "at": at, "value": rng.normal(20, 5, count)})
    return frame.cast({"at": pl.Datetime("ms"), "sensor": pl.Int64}).filter(pl.Series(awake))


class Silence(KeyedFunction):
    def on_rows(self, key: KeyContext, rows: list[dict[str, Any]]) -> None:
        if key.state is not None:
            key.cancel_timer(key.state + SILENCE)
        key.state = max(rows[-1]["at"], key.state or rows[-1]["at"])
        key.set_timer(key.state + SILENCE)

    def on_timer(self, key: KeyContext, time: datetime) -> None:
        key.emit(sensor=key.key[0], since=time - SILENCE)
        key.state = None


def job(flow: limnad.Flow, minutes: int = 10) -> None:
    # One partition: the order of epochs is that of a clock.
    seen = flow.generate(readings, rows=minutes * 60, epochs=minutes * 6, partitions=1, name="readings")
    timed = EventTime(seen, "at", lateness=timedelta(seconds=15))
    by_minute = timed.tumbling(timedelta(minutes=1)).group_by("sensor")
    by_minute.agg(pl.len().alias("readings"), pl.col("value").mean().alias("mean")).output("minutes")
    by_minute.late().output("too late")
    silent = timed.process(Silence, by="sensor", schema={"sensor": pl.Int64, "since": pl.Datetime("ms")})
    silent.output("silent")
