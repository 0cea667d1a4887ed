"""The operator's metrics, for Prometheus: its own work, and how the objects are that it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

from limnad_operator.queue import Queue
from limnad_operator.shell.views import KINDS, Cache, Key


class Measures:
    """Counts, and tells of what is known.

    Args:
        cache: What is known of objects.
        queue: Those that wait.
        leads: Whether this operator acts.
    """

    def __init__(self, cache: Cache, queue: Queue[Key], leads: Callable[[], bool]) -> None:
        self._cache = cache
        self._queue = queue
        self._leads = leads
        self._registry = CollectorRegistry()
        self._registry.register(self)
        prefix = "limnad_operator"
        self._looks = Counter(f"{prefix}_looks", "Objects looked at.", ["kind"], registry=self._registry)
        self._errors = Counter(f"{prefix}_look_errors", "Looks that failed.", ["kind"], registry=self._registry)
        self._seconds = Histogram(
            f"{prefix}_look_duration_seconds",
            "How long a look took, with what was done.",
            ["kind"],
            registry=self._registry,
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120),
        )
        for kind in KINDS:
            self._looks.labels(kind)
            self._errors.labels(kind)

    def looked(self, kind: str, seconds: float) -> None:
        """An object was looked at."""
        self._looks.labels(kind).inc()
        self._seconds.labels(kind).observe(seconds)

    def failed(self, kind: str) -> None:
        """A look has failed."""
        self._errors.labels(kind).inc()

    def text(self) -> bytes:
        """As Prometheus reads them."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """What is known now."""
        prefix = "limnad_operator"
        yield GaugeMetricFamily(f"{prefix}_leading", "Whether this replica acts.", value=float(self._leads()))
        yield GaugeMetricFamily(f"{prefix}_queue_length", "Objects that wait to be looked at.", value=len(self._queue))
        conditions = GaugeMetricFamily(
            f"{prefix}_condition", "Conditions of objects: 1 if true.", labels=["kind", "namespace", "name", "type"]
        )
        labels = ["namespace", "name"]
        wanted = GaugeMetricFamily(f"{prefix}_workers", "Pods that there are to be.", labels=labels)
        ready = GaugeMetricFamily(f"{prefix}_workers_ready", "Pods that are ready.", labels=labels)
        for kind in KINDS:
            for object_ in self._cache.everywhere(kind):
                metadata, status = object_["metadata"], object_.get("status") or {}
                at = [metadata["namespace"], metadata["name"]]
                for each in status.get("conditions") or []:
                    conditions.add_metric([kind, *at, each["type"]], float(each["status"] == "True"))
                if kind == "LimnadCluster":
                    wanted.add_metric(at, status.get("replicas") or 0)
                    ready.add_metric(at, status.get("readyReplicas") or 0)
        yield from (conditions, wanted, ready)
