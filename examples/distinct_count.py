"""The vertex of the Naiad paper's figure 4: distinct records as they come, and their counts when the time is complete.

Output 0 needs no coordination and is fast; output 1 must be right and therefore waits for `on_notify`.

    limnad run examples/distinct_count.py -w 2
"""

from collections import Counter

import limnad


class DistinctCount(limnad.Vertex):
    def __init__(self) -> None:
        self.counts: dict[limnad.Timestamp, Counter[str]] = {}

    def on_recv(self, port: int, batch: list[str], time: limnad.Timestamp) -> None:
        if time not in self.counts:
            self.counts[time] = Counter()
            self.notify_at(time)
        counts = self.counts[time]
        self.send_by(0, [word for word in dict.fromkeys(batch) if word not in counts], time)
        counts.update(batch)

    def on_notify(self, time: limnad.Timestamp) -> None:
        self.send_by(1, list(self.counts.pop(time).items()), time)


def job(flow: limnad.Flow) -> None:
    words = flow.values([["to", "be", "or", "not", "to", "be"], [], ["let", "it", "be", "be"]], name="words")
    distinct, counted = flow.vertex(DistinctCount, words.partition_by(lambda word: word), outputs=2)
    distinct.output("distinct")
    counted.output("counts")
