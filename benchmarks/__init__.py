"""How fast Limnad is, beside what else does the same work: `python -m benchmarks`.

Only ratios count: both sides of a row run in turn, in the same minute, on the same machine. `jobs` holds our side as
job files, `baselines` the other side; a module for each suite runs the two and yields `Row`s. Nothing here is imported
by the library, and no number in ``docs/performance.md`` was written by hand.
"""
