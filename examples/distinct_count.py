"""The vertex of the Naiad paper's figure 4: distinct records as they come, and their counts when the time is complete.

Output 0 needs no coordination and is fast; output 1 must be right and therefore waits for `on_notify`.

    limnad run examples/distinct_count.py -w 2
"""

from collections import Counter

import limnad

Seen = tuple[limnad.Timestamp, str]


class DistinctCount(limnad.Vertex):
    def __init__(self) -> None:
        # By word: it is in every checkpoint, and words find their worker again when the number of workers changes.
        self.counts = limnad.KeyedState[Seen, int]("counts", by=lambda seen: seen[1])

    def on_recv(self, port: int, batch: list[str], time: limnad.Timestamp) -> None:
        self.notify_at(time)
        self.send_by(0, [word for word in dict.fromkeys(batch) if (time, word) not in self.counts], time)
        for word, count in Counter(batch).items():
            self.counts[time, word] = self.counts.get((time, word), 0) + count

    def on_notify(self, time: limnad.Timestamp) -> None:
        complete = [seen for seen in self.counts if seen[0] == time]
        self.send_by(1, [(seen[1], self.counts.pop(seen)) for seen in complete], time)


def job(flow: limnad.Flow) -> None:
    words = flow.values([["to", "be", "or", "not", "to", "be"], [], ["let", "it", "be", "be"]], name="words")
    distinct, counted = flow.vertex(DistinctCount, words.partition_by(lambda word: word), outputs=2)
    distinct.output("distinct")
    counted.output("counts")
