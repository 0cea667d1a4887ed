"""Limits and agreed values, for those who need not load Polars or the cluster to know them."""

KEY_GROUPS = 256
"""How many key groups a job has by default: four for each of 64 workers, and few enough to store one by one."""

MAX_WORKERS = KEY_GROUPS
"""Of a job: another worker would own no key."""

ANONYMOUS = "anonymous "
"""Begins the names of producers without a name; see `limnad.cluster.producers` for these and what follows."""

DOUBT_S = 120.0
"""For how long such a one may repeat a push: longer than a client tries by itself."""

FORGOTTEN_S = 600.0
"""After what silence it may be forgotten: so much longer than `DOUBT_S` that no difference of clocks matters."""
