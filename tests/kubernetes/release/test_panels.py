"""Each panel of each dashboard, and each alert, asked of a real Prometheus that scrapes a cluster at work."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

from limnad.client import Checkpointing, Client, LocalCluster
from tests.helpers.prometheus_server import PrometheusServer
from tests.helpers.redis_server import RedisServer
from tests.kubernetes.release.test_monitoring import expressions

JOB = """
    def job(flow):
        numbers = flow.input("numbers")
        totals = numbers.iterate(count_down, name="down").key_by(str)
        totals.scan(initial=int, step=add, name="totals").output("totals")

    def count_down(numbers):
        return numbers.filter(lambda n: n > 0).map(lambda n: n - 1), numbers.filter(lambda n: n == 0)

    def add(total, number):
        return total + 1, total + 1
"""
ROUNDS = 40


def asked(expression: str) -> str:
    """As Grafana asks, when everything is chosen."""
    for variable in ("$namespace", "$cluster", "$job"):
        expression = expression.replace(variable, ".*")
    return expression.replace("$__rate_interval", "1m")


def test_every_panel_gets_data(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(textwrap.dedent(JOB), encoding="utf-8")
    # There is no operator here.
    told = [(where, expression) for where, expression in expressions() if "limnad_operator" not in expression]
    wanting = [(where, asked(expression)) for where, expression in told if ":" in where]
    with (
        RedisServer(appendonly="yes", appendfsync="always") as redis,
        LocalCluster(2, metrics_port=0) as cluster,
        Client(cluster.address) as client,
    ):
        assert cluster.metrics is not None
        job = client.submit(str(tmp_path / "job.py"), workers=2, checkpointing=Checkpointing(redis.url, every_s=None))
        numbers = job.input("numbers")
        with PrometheusServer(cluster.metrics) as prometheus:
            for epoch in range(ROUNDS):
                numbers.on_next(list(range(30)))
                numbers.advance_to(epoch + 1)
                job.checkpoint()
                prometheus.after_scrape("up")
                wanting = [(where, what) for where, what in wanting if not has_data(prometheus, what)]
                if not wanting:
                    break
            silent = {rule: prometheus.ask(asked(what)) for rule, what in told if ":" not in rule}
        numbers.close()
        job.wait()
    assert wanting == []
    assert {rule: found for rule, found in silent.items() if found} == {}, "alerts of a cluster that is well"


def has_data(prometheus: PrometheusServer, expression: str) -> bool:
    return any(not math.isnan(value) for value in prometheus.ask(expression).values())
