"""Word count on Python records: a function for each line, for what expressions cannot say.

limnad run examples/wordcount_records.py -w 2
"""

import re
import sysconfig

import limnad

WORD = re.compile(r"\w+")


def job(flow: limnad.Flow, path: str = f"{sysconfig.get_path('stdlib')}/json/*.py") -> None:
    lines = flow.read_text(path).to_records()
    words = lines.flat_map(lambda line: WORD.findall(line[0]))
    words.key_by(lambda word: word).count_by_key().filter(lambda pair: pair[1] >= 100).output("frequent words")
