"""How many there may be, for those who need not load Polars to know it."""

KEY_GROUPS = 256
"""How many key groups a job has by default: four for each of 64 workers, and few enough to store one by one."""

MAX_WORKERS = KEY_GROUPS
"""Of a job: another worker would own no key."""
