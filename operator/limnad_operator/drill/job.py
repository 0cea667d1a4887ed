"""The job of a drill, and what it has to give: running totals by key of rows that follow from their numbers.

Totals are state, so that an epoch is right only if nothing before it was lost or counted twice. The rows come ten
epochs a second, for some hours.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from limnad_operator.manifests import Shape, client_pod
from limnad_operator.model import GROUP, VERSION
from limnad_operator.reconcile.plan import Object

OUTPUT = "totals"
EPOCHS = 100_000
PARTITIONS = 4
BATCH = 10
"""Rows of each partition in one epoch."""

EPOCHS_PER_S = 10
KEYS = 13

CODE = f"""
import polars as pl

def make(rng, start, count):
    number = pl.arange(start, start + count, eager=True)
    return pl.DataFrame({{"key": number % {KEYS}, "value": number * 7 % 1009}})

def job(flow):
    numbers = flow.generate(
        make,
        rows={EPOCHS * PARTITIONS * BATCH},
        batch_rows={BATCH},
        epochs={EPOCHS},
        partitions={PARTITIONS},
        rows_per_s={BATCH * EPOCHS_PER_S},
    )
    totals = numbers.group_by("key").running(pl.len().alias("rows"), pl.col("value").sum().alias("total"))
    totals.output("{OUTPUT}")
"""

READER = f"""
import os, sys, limnad
from limnad.cli.outputs import json_line

tls, token_file = os.environ.get("LIMNAD_TLS_CA"), os.environ.get("LIMNAD_TOKEN_FILE")
with limnad.Client(
    os.environ["LIMNAD_CLUSTER"], tls=tls, token_file=token_file, insecure=tls is None, patience_s=3600
) as client:
    client.cluster(wait_s=600)  # Some network plugins let a new pod in only when they have heard of it.
    for name, epoch, rows in client.job(sys.argv[1]).outputs("{OUTPUT}", from_epochs={{"{OUTPUT}": 0}}):
        print(json_line(name, epoch, rows), flush=True)
"""


def job_manifest(namespace: str, name: str, cluster: str) -> Object:
    """The job as an object; its state goes with it."""
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "LimnadJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "clusterRef": {"name": cluster},
            "checkpoint": {"interval": "1s"},
            "onDeletion": "Delete",
            "source": {"inline": CODE},
        },
    }


def reader_manifest(shape: Shape, name: str, job: str) -> Object:
    """A pod that prints each epoch of the job's output as one line, and waits for a leader that is gone.

    It is placed on another node than worker 0, if it can be: that one may vanish.

    Args:
        shape: Of the cluster.
        name: Of the pod.
        job: Its name at the leader.
    """
    pod = client_pod(shape, name, ["python", "-c", READER, job])
    term = {
        "labelSelector": {"matchLabels": {"statefulset.kubernetes.io/pod-name": f"{shape.workers}-0"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    apart = [{"weight": 100, "podAffinityTerm": term}]
    pod["spec"]["affinity"] = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": apart}}
    return pod


class Reference:
    """The plain answer, epoch by epoch."""

    def __init__(self) -> None:
        self._rows: Counter[int] = Counter()
        self._totals: Counter[int] = Counter()
        self._next = 0

    def advance_to(self, epoch: int) -> list[dict[str, Any]]:
        """The rows of an epoch; those before it, which are not given again, are counted in.

        Raises:
            ValueError: That epoch has been given.
        """
        if epoch < self._next:
            raise ValueError(f"epoch {epoch} has been given")
        changed: set[int] = set()
        for each in range(self._next, epoch + 1):
            changed = self._add(each)
        self._next = epoch + 1
        return [{"key": key, "rows": self._rows[key], "total": self._totals[key]} for key in sorted(changed)]

    def _add(self, epoch: int) -> set[int]:
        numbers = [
            partition * EPOCHS * BATCH + epoch * BATCH + row for partition in range(PARTITIONS) for row in range(BATCH)
        ]
        for number in numbers:
            self._rows[number % KEYS] += 1
            self._totals[number % KEYS] += number * 7 % 1009
        return {number % KEYS for number in numbers}
