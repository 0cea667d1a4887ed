"""k-exposure over a stream of posts: from how many of those they follow had users seen a hashtag before they used it?

The Naiad paper's application of section 6.3 (after Romero, Meeder and Kleinberg, 2011): topics that people take up only
after many others have are controversial. An epoch is a batch of posts. When somebody uses a hashtag for the first time,
all who follow them have been exposed to it once more, and who uses it now was exposed in earlier epochs. What comes
out of each epoch: each first use with its number of exposures, and how often each number has been there so far.

    limnad run examples/k_exposure.py -w 2 -a posts=200000
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import polars as pl

import limnad
from limnad.batch import concat

Make: TypeAlias = Callable[[np.random.Generator, int, int], pl.DataFrame]
USE: dict[str, Any] = {"user": pl.Int32, "tag": pl.Int32}


class PerEpoch(limnad.Vertex):
    """Gathers what comes on each port, and answers epoch by epoch."""

    def __init__(self, *ports: dict[str, Any]) -> None:
        self.empties = [pl.DataFrame(schema=schema) for schema in ports]
        self.gathered = limnad.TimedBatches(ports=len(ports))

    def on_recv(self, port: int, batch: pl.DataFrame, time: limnad.Timestamp) -> None:
        if self.gathered.add(time, port, batch):
            self.notify_at(time)

    def answer(self, *inputs: pl.DataFrame) -> pl.DataFrame:
        raise NotImplementedError

    def on_notify(self, time: limnad.Timestamp) -> None:
        batches = zip(self.gathered.pop(time), self.empties, strict=True)
        self.send_by(0, self.answer(*(concat(each) if each else empty for each, empty in batches)), time)


class FirstUses(PerEpoch):
    """Of the uses of an epoch those that are the first of their user and hashtag."""

    def __init__(self) -> None:
        super().__init__(USE)
        self.known = limnad.FrameState("known", USE, ["user", "tag"])

    def answer(self, *inputs: pl.DataFrame) -> pl.DataFrame:
        uses = inputs[0].unique()
        new = uses.join(self.known.get(uses), on=["user", "tag"], how="anti")
        self.known.add(new)
        return new


class Expose(PerEpoch):
    """Whom each first use exposes: one row for each follower and hashtag, with how many times."""

    def __init__(self) -> None:
        super().__init__(USE, {"follower": pl.Int32, "user": pl.Int32})
        self.followers = limnad.FrameState("followers", {"follower": pl.Int32, "user": pl.Int32}, "user")

    def answer(self, *inputs: pl.DataFrame) -> pl.DataFrame:
        uses, follows = inputs
        self.followers.add(follows.unique())
        exposed = uses.join(self.followers.get(uses), on="user").select(pl.col("follower").alias("user"), "tag")
        return exposed.group_by("user", "tag").agg(pl.len().cast(pl.Int32).alias("times"))


class Exposures(PerEpoch):
    """How often those who use a hashtag for the first time had been exposed to it in earlier epochs."""

    def __init__(self) -> None:
        exposed = {**USE, "times": pl.Int32}
        super().__init__(USE, exposed)
        self.times = limnad.FrameState("times", exposed, ["user", "tag"])

    def answer(self, *inputs: pl.DataFrame) -> pl.DataFrame:
        uses, exposed = inputs
        times = summed(self.times.get(uses))
        answers = uses.join(times, on=["user", "tag"], how="left").with_columns(pl.col("times").fill_null(0))
        self.times.add(exposed)  # Summed when somebody asks: most are never asked for.
        return answers.rename({"times": "exposures"})


def summed(exposed: pl.DataFrame) -> pl.DataFrame:
    return exposed.group_by("user", "tag").agg(pl.col("times").sum())


def first_uses(posts: limnad.FrameStream, follows: limnad.FrameStream) -> limnad.FrameStream:
    """Each first use of a hashtag by a user: ``user, tag, exposures``."""
    uses = posts.select("user", "tag").partition_by("user", "tag")
    new = posts.flow.vertex(FirstUses, uses, name="first uses", schemas=[USE])
    exposed = posts.flow.vertex(
        Expose,
        new.partition_by("user"),
        follows.partition_by("user"),
        name="expose",
        schemas=[{**USE, "times": pl.Int32}],
    )
    answers: limnad.FrameStream = posts.flow.vertex(
        Exposures,
        new.partition_by("user", "tag"),
        exposed.partition_by("user", "tag").combined(summed),
        name="exposures",
        schemas=[{**USE, "exposures": pl.Int32}],
    )
    return answers


def some_posts(users: int, tags: int) -> Make:
    """Makes posts: few users write most of them, few hashtags are in most of them."""

    def make(rng: np.random.Generator, _: int, count: int) -> pl.DataFrame:
        user = users * rng.random(count) ** 2
        tag = tags * rng.random(count) ** 4
        return pl.DataFrame({"user": user.astype(np.int32), "tag": tag.astype(np.int32)})

    return make


def some_follows(users: int) -> Make:
    """Makes followers: those who write more have more."""

    def make(rng: np.random.Generator, _: int, count: int) -> pl.DataFrame:
        follower, user = users * rng.random(count), users * rng.random(count) ** 2
        return pl.DataFrame({"follower": follower.astype(np.int32), "user": user.astype(np.int32)})

    return make


def job(
    flow: limnad.Flow, posts: int = 50_000, epochs: int = 50, users: int = 10_000, tags: int = 2_000, follow: int = 10
) -> None:
    made = flow.generate(some_posts(users, tags), name="posts", rows=posts, epochs=epochs, partitions=2, seed=1)
    follows = flow.generate(some_follows(users), name="follows", rows=users * follow, partitions=2, seed=2)
    uses = first_uses(made, follows)
    uses.output("first uses")
    uses.group_by("exposures").running(pl.len().alias("uses")).sort("exposures").output("how often")
