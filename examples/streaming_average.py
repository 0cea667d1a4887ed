"""A streaming average without windows, fed by hand: each epoch's numbers change the average of each sensor.

As a program that feeds its own job:

    python examples/streaming_average.py

or fed from the keyboard, a JSON line for each reading and an empty line to end an epoch:

    limnad run examples/streaming_average.py --feed readings=-
    ["kitchen", 20.5]
"""

import limnad

Sum = tuple[float, int]


def job(flow: limnad.Flow) -> None:
    readings = flow.input("readings").map(tuple).as_keyed()
    readings.scan(initial=lambda: (0.0, 0), step=add, name="average").output("averages")


def add(state: Sum, reading: float) -> tuple[Sum, float]:
    total, count = state[0] + reading, state[1] + 1
    return (total, count), total / count


if __name__ == "__main__":
    with limnad.local(__file__, workers=2) as running:
        readings = running.input("readings")
        averages = running.subscribe("averages")
        for epoch, batch in enumerate([[("kitchen", 20.0), ("hall", 18.0)], [("kitchen", 22.0)], [("hall", 19.0)]]):
            readings.on_next(batch)
            readings.advance_to(epoch + 1)
            print(next(averages))
        readings.close()
        running.wait()
