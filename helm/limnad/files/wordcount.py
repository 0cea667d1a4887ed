"""Counts the words of the lines that it is fed, of each epoch by itself."""

import limnad


def job(flow: limnad.Flow) -> None:
    words = flow.input("lines").flat_map(str.split)
    words.key_by(lambda word: word).count_by_key().output("counts")
