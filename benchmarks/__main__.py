"""``python -m benchmarks [SUITE ...] [--runs N] [--quick] [--write]``."""

import argparse
import sys
from collections.abc import Callable, Iterable

from benchmarks import (
    barrier,
    checkpoint,
    exchange,
    exposure,
    figure1,
    graphs,
    incremental,
    learning,
    operators,
    progress,
    scaling,
    secured,
    service,
    store,
    tracker,
    wordcount,
)
from benchmarks.harness import Row, Settings, Unavailable, say
from benchmarks.plot import plot
from benchmarks.processes import ROOT
from benchmarks.report import machine, put_into, section, table

SUITES: dict[str, Callable[[Settings], Iterable[Row]]] = {
    "wordcount": wordcount.rows,
    "exchange": exchange.rows,
    "barrier": barrier.rows,
    "progress": progress.rows,
    "secured": secured.rows,
    "service": service.rows,
    "operators": operators.rows,
    "tracker": tracker.rows,
    "scaling": scaling.rows,
    "store": store.rows,
    "checkpoint": checkpoint.rows,
    "graphs": graphs.rows,
    "learning": learning.rows,
    "exposure": exposure.rows,
    "incremental": incremental.rows,
    "figure1": figure1.rows,
}
PAGE = ROOT / "docs" / "performance.md"


def main() -> int:
    """Runs the suites that were asked for; 1 if one could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; default: all")
    parser.add_argument("--runs", type=int, default=5, help="how often each side is measured (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small sizes: only to see that everything works")
    parser.add_argument("--write", action="store_true", help=f"put tables and pictures into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    if unknown := [name for name in options.suites if name not in SUITES]:
        parser.error(f"there is no suite {unknown[0]!r}; there are {', '.join(SUITES)}")
    if options.runs < 1:
        parser.error("--runs is at least 1")
    settings = Settings(options.runs, options.quick)
    print(machine(), flush=True)
    failed = False
    for name in options.suites or SUITES:
        say(f"{name}:")
        try:
            rows = list(SUITES[name](settings))
        except Unavailable as problem:
            say(f"{name} could not be measured: {problem}")
            failed = True
            continue
        print(f"\n{table(rows)}", flush=True)
        if options.write:
            text = section(rows, settings.runs, quick=settings.quick)
            PAGE.write_text(put_into(PAGE.read_text(encoding="utf-8"), name, text), encoding="utf-8")
            if any(row.growth is not None for row in rows):
                plot(rows, PAGE.parent / "pictures" / f"{name}.svg")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
