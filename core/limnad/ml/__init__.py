"""Machine learning on streams of frames: each epoch's rows are one data set.

Here lives what trains on all workers' rows at once: `all_reduce`, `logistic_regression`, `kmeans`. Rows stay on the
worker where they are; what travels are sums. The numeric work is NumPy's, on one matrix a worker.

What must never live here: anything that is not written with the public API.
"""

from limnad.bsp import Reduction
from limnad.ml.clusters import kmeans
from limnad.ml.logistic import Method, logistic_regression
from limnad.ml.sums import all_reduce

__all__ = ["Method", "Reduction", "all_reduce", "kmeans", "logistic_regression"]
