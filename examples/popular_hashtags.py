"""The application of the Naiad paper's figure 1: what is the most popular hashtag in a user's community, right now?

Tweets stream in. Who mentions whom is a graph; its connected components are the communities, and are kept while edges
come. The most popular hashtag of each community is kept with them. Queries ask for a user, and are answered `fresh`,
with all tweets of their own epoch, or `stale`, with those of the epoch before: such an answer need not wait for the
work that its own epoch makes.

    limnad run examples/popular_hashtags.py -w 2
"""

from functools import partial

import numpy as np
import polars as pl

import limnad
from limnad.incremental import Collection, from_stream

TAGS = 50


def tweets(rng: np.random.Generator, start: int, count: int, users: int) -> pl.DataFrame:
    """Of users in circles of ten, who mention each other, seldom somebody else, and use few hashtags often."""
    user = rng.integers(0, users, count)
    near = user // 10 * 10 + rng.integers(0, 10, count)
    mentioned = np.where(rng.random(count) < 0.002, rng.integers(0, users, count), near)
    tag = (user // 10 + rng.geometric(0.3, count)) % TAGS
    return pl.DataFrame({"tweet": np.arange(start, start + count), "user": user, "mentioned": mentioned, "tag": tag})


def queries(rng: np.random.Generator, start: int, count: int, users: int) -> pl.DataFrame:
    """Somebody asks for some user's community."""
    return pl.DataFrame({"query": np.arange(start, start + count), "user": rng.integers(0, users, count)})


def communities(mentions: Collection) -> Collection:
    """Each user's community, which has the name of its least user: columns `user`, `community`."""
    near = mentions.concat(mentions.select(user="mentioned", mentioned="user")).distinct()
    users = near.select("user", community="user").distinct()

    def spread(known: Collection) -> Collection:
        told = known.join(near.enter(known), "user").select("community", user="mentioned").select("user", "community")
        return told.concat(users.enter(known)).group_by("user").min("community")

    return users.iterate(spread)


def most_popular(uses: Collection, members: Collection) -> Collection:
    """Each community's most popular hashtag: columns `community`, `tag`."""
    counted = uses.join(members, "user").group_by("community", "tag").count()
    return counted.group_by("community").top_k(1, by="count").select("community", "tag")


class Lookup(limnad.Vertex):
    """Gives each row of port 0 what a collection, whose changes come to port 1, says of its first column.

    Args:
        stale: How many epochs earlier than the row's own the answer may be.
    """

    quiet_inputs = frozenset({1})  # changes are no answers: only what `on_notify` waits for waits for them

    def __init__(self, stale: int) -> None:
        self.stale = stale
        self.known = limnad.KeyedState[int, int]("known")
        self.asked = limnad.TimedBatches("asked")
        self.changes = limnad.TimedBatches("changes")

    def on_recv(self, port: int, batch: pl.DataFrame, time: limnad.Timestamp) -> None:
        if port == 0 and self.asked.add(time, 0, batch):
            self.notify_at((time[0] - self.stale,), capability=time)
        elif port == 1 and self.changes.add(time, 0, batch):
            self.notify_at(time, capability=limnad.TOP)  # holds nobody up: it will only take notice

    def on_notify(self, time: limnad.Timestamp) -> None:
        for batch in self.changes.pop(time)[0]:
            for key, value, diff in batch.sort("diff").iter_rows():
                if diff > 0:
                    self.known[key] = value
                elif self.known.get(key) == value:
                    del self.known[key]
        asked = (time[0] + self.stale,)
        for rows in self.asked.pop(asked)[0]:
            found = [self.known.get(key) for key in rows.to_series(0)]
            self.send_by(0, rows.with_columns(pl.Series("found", found, pl.Int64)), asked)


def look_up(rows: limnad.FrameStream, known: Collection, stale: int, name: str) -> limnad.FrameStream:
    """Rows whose first column is a key, with what is known of it in a column `found`."""
    (key,) = list(rows.schema)[:1]
    schema = {**rows.schema, "found": pl.Int64()}
    changes = known.to_stream().partition_by(next(iter(known.schema)))
    found = rows.flow.vertex(partial(Lookup, stale), rows.partition_by(key), changes, name=name, schemas=[schema])
    assert isinstance(found, limnad.FrameStream)
    return found


def answers(asked: limnad.FrameStream, members: Collection, top: Collection, stale: int) -> limnad.FrameStream:
    """Each query with its user's community's most popular hashtag; null where nothing is known."""
    name = "stale" if stale else "fresh"
    of_user = look_up(asked.select("user", "query"), members, stale, f"community, {name}")
    of_community = of_user.select(pl.col("found").alias("community"), "query", "user")
    found = look_up(of_community, top, stale, f"hashtag, {name}")
    return found.select("query", "user", "community", pl.col("found").alias("tag"))


def connect(asked: limnad.FrameStream, tweeted: limnad.FrameStream) -> None:
    """The whole application."""
    uses = from_stream(tweeted.select("user", "tag"))
    members = communities(from_stream(tweeted.select("user", "mentioned")))
    top = most_popular(uses, members)
    answers(asked, members, top, stale=0).output("fresh")
    answers(asked, members, top, stale=1).output("stale")


def job(flow: limnad.Flow, epochs: int = 5, tweets_an_epoch: int = 400, users: int = 200) -> None:
    tweeted = flow.generate(partial(tweets, users=users), name="tweets", rows=epochs * tweets_an_epoch, epochs=epochs)
    asked = flow.generate(partial(queries, users=users), name="queries", rows=epochs * 4, epochs=epochs)
    connect(asked, tweeted)


def by_hand(flow: limnad.Flow) -> None:
    """The same, fed by somebody else."""
    tweeted = {"tweet": pl.Int64, "user": pl.Int64, "mentioned": pl.Int64, "tag": pl.Int64}
    connect(flow.input("queries", {"query": pl.Int64, "user": pl.Int64}), flow.input("tweets", tweeted))
