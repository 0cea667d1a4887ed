"""A cluster as its users have it: jobs by commands from processes of their own, while the cluster's are killed."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import textwrap
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from limnad.cli.watched import coordinators_of, engines_of
from tests.helpers.clusters import processes_with
from tests.helpers.running import LIMNAD

COMPONENTS = """
    import limnad

    class Spread(limnad.Vertex):
        '''Each node's least label; a graph of its own in each epoch. Port 0: labels, port 1: edges.'''

        def __init__(self):
            self.labels = limnad.KeyedState("labels", by=lambda node: node[1])
            self.near = limnad.KeyedState("near", by=lambda node: node[1])
            self.offers = limnad.TimedBatches("offers")

        def on_recv(self, port, batch, time):
            if port == 0 and self.offers.add(time, 0, batch):
                self.notify_at(time)
            for source, target in batch if port == 1 else ():
                node = (time[0], source)
                self.near[node] = (*self.near.get(node, ()), target)

        def on_notify(self, time):
            news = {}
            for batch in self.offers.pop(time)[0]:
                for node, label in batch:
                    if label < min(news.get(node, label + 1), self.labels.get((time[0], node), label + 1)):
                        news[node] = label
            self.labels.update({(time[0], node): label for node, label in news.items()})
            onward = [(near, label) for node, label in news.items() for near in self.near.get((time[0], node), ())]
            self.send_by(0, onward, time)
            self.send_by(1, list(news.items()), time)

    def job(flow):
        edges = flow.input("edges").flat_map(lambda edge: [tuple(edge), tuple(edge)[::-1]])
        loop = flow.loop("spread")
        entered = loop.enter(edges.flat_map(lambda edge: [(node, node) for node in edge]))
        again = loop.feedback(entered)
        offers = entered.concat(again.stream).partition_by(lambda pair: pair[0])
        graph = loop.enter(edges).partition_by(lambda edge: edge[0])
        onward, news = flow.vertex(Spread, offers, graph, outputs=2, name="spread")
        again.connect(onward)
        loop.leave(news).as_keyed().reduce_by_key(min).output("components")
"""

WORDS = """
    def job(flow, path):
        lines = flow.read_text(path, follow=True)
        words = lines.to_records().flat_map(lambda row: row[0].split())
        words.key_by(str).count_by_key().output("words")
"""

RAISING = """
    def shout(word):
        return word.upper()

    def job(flow):
        flow.values([["a"], [7]]).map(shout).output("loud")
"""


class Commands:
    """``limnad ...`` against the cluster of a folder."""

    def __init__(self, folder: Path) -> None:
        self._environment = {**os.environ, "LIMNAD_CLUSTER_FOLDER": str(folder)}

    def run(self, *arguments: str, feed: str | None = None, code: int = 0) -> str:
        """Runs one; what it prints, and what it says if it is to fail."""
        done = subprocess.run(
            [*LIMNAD, *arguments],
            input=feed,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
            env=self._environment,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout

    def agents(self) -> list[Any]:
        """The agents, by index, when all of them are there."""
        return list(json.loads(self.run("cluster", "status", "--wait", "60", "-o", "json"))["agents"])

    def epochs(self, job: str, *more: str) -> subprocess.Popen[str]:
        """A subscriber in a process of its own: lines of JSON."""
        return subprocess.Popen(
            [*LIMNAD, "subscribe", job, "-o", "json", *more],
            stdout=subprocess.PIPE,
            text=True,
            env=self._environment,
        )


def components(edges: list[tuple[int, int]]) -> list[list[int]]:
    """``[node, the least node of its component]`` of each, by union and find."""
    parents: dict[int, int] = {}

    def root(node: int) -> int:
        while parents.setdefault(node, node) != node:
            node = parents[node]
        return node

    for one, other in edges:
        low, high = sorted((root(one), root(other)))
        parents[high] = low
    return sorted([node, root(node)] for node in parents)


class Texts:
    """Two texts that a job follows; what has been written is counted."""

    def __init__(self, folder: Path) -> None:
        self.pattern = f"{folder}/*.txt"
        self.words = Counter[str]()
        self._files = [folder / "one.txt", folder / "two.txt"]
        self._random = Random(1)
        self.grow()

    def grow(self) -> None:
        """Both go on."""
        for file in self._files:
            self._append(file)

    def _append(self, file: Path) -> None:
        words = [self._random.choice("abcdefgh") for _ in range(2_000)]
        self.words.update(words)
        with file.open("a") as text:
            text.write("".join(f"{one} {other}\n" for one, other in zip(words[::2], words[1::2], strict=True)))


def counted(limnad: Commands, job: str) -> Counter[str]:
    """The words of all epochs."""
    found = Counter[str]()
    for line in limnad.run("subscribe", job, "-o", "json").splitlines():
        found.update(dict(json.loads(line)["rows"]))
    return found


@pytest.mark.parametrize("security", [(), ("--tls",)], ids=["plain", "tls"])
def test_jobs_of_a_cluster_whose_processes_are_killed(tmp_path: Path, security: tuple[str, ...]) -> None:
    for name, text in {"components": COMPONENTS, "words": WORDS, "raising": RAISING}.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
    texts, random, folder = Texts(tmp_path), Random(2), tmp_path / "state"
    limnad = Commands(folder)
    limnad.run("cluster", "up", "-w", "3", "--coordinator", *security, "--store", f"dir:{tmp_path / 'store'}")
    try:
        often = ["--checkpoint", "200ms"]
        limnad.run("submit", str(tmp_path / "components.py"), "--name", "components", *often)
        limnad.run("submit", str(tmp_path / "words.py"), "--name", "words", "-a", f"path={texts.pattern}", *often)
        failure = limnad.run("submit", str(tmp_path / "raising.py"), "--name", "raising", "--wait", code=1)
        assert "return word.upper()" in failure
        subscriber = limnad.epochs("components")
        assert subscriber.stdout is not None
        leader, *_, last = limnad.agents()
        strikes: tuple[Callable[[], list[int]], ...] = (
            list,
            lambda: engines_of(last["pid"])[:1],
            lambda: [last["pid"]],
            lambda: coordinators_of(leader["pid"])[:1],
            lambda: [leader["pid"]],
        )
        for epoch, struck in enumerate(strikes):
            texts.grow()
            for pid in struck():
                os.kill(pid, signal.SIGKILL)
            limnad.agents()
            edges = [(random.randrange(60), random.randrange(60)) for _ in range(40)]
            told = ["--producer", f"program {epoch}", "--advance-to", str(epoch + 1)]
            limnad.run("push", "components", "edges", *told, feed="".join(f"{json.dumps(edge)}\n" for edge in edges))
            found = json.loads(subscriber.stdout.readline())
            assert (found["output"], found["epoch"], sorted(found["rows"])) == ("components", epoch, components(edges))
        limnad.run("push", "components", "edges", "--close", feed="")
        with subscriber:
            assert subscriber.wait(timeout=100) == 0
        limnad.run("drain", "words", "--wait")
        assert counted(limnad, "words") == texts.words
        states = {told["job"]: told["state"] for told in map(json.loads, limnad.run("jobs", "-o", "json").splitlines())}
        assert states == {"components": "finished", "words": "finished", "raising": "failed"}
        addresses = [agent["address"] for agent in limnad.agents()]
    finally:
        limnad.run("cluster", "down")
    assert list(processes_with(str(folder))) == []
    for address in addresses:
        host, _, port = address.rpartition(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) == errno.ECONNREFUSED
