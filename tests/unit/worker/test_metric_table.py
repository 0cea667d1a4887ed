"""docs/observability.md and the metrics' table in code say the same."""

import re
from pathlib import Path

from limnad_worker.metric_table import METRICS, Kind

PAGE = Path(__file__).parents[3] / "docs" / "observability.md"
ROW = re.compile(r"^\| `(limnad_\w+)` \| (\w+) \| ([\w, ]*?) ?\| (.+) \|$", re.MULTILINE)


def test_the_page_lists_every_metric_as_it_is_and_no_other() -> None:
    listed = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert listed == [(each.name, each.kind.value, ", ".join(each.labels), each.help) for each in METRICS]


def test_the_page_asks_for_no_metric_that_does_not_exist() -> None:
    known = {metric.name for metric in METRICS}
    mentioned = set(
        re.findall(
            r"limnad_(?:build|jobs?|agent|checkpoints?|store|worker|loop|stage|connector)\w*",
            PAGE.read_text(encoding="utf-8"),
        )
    )
    assert {re.sub(r"_bucket$", "", name) for name in mentioned} <= known | {"limnad_worker"}


def test_names_follow_the_convention() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert (metric.kind is Kind.COUNTER) == metric.name.endswith("_total"), metric.name
        assert not re.search(r"_(ms|us|ns|kb|mb|milliseconds|bytes_sent)\b", metric.name), metric.name
        # Prometheus gives these to whatever it scrapes, and would rename ours.
        assert not {"job", "instance", "pod", "namespace", "container", "service"} & set(metric.labels), metric.name
