"""What `helm test` runs: submits a word count to the cluster, feeds it, and compares what comes out.

Where the cluster is and how to speak to it is in LIMNAD_CLUSTER, LIMNAD_TLS_CA and LIMNAD_TOKEN_FILE.
"""

import os
import sys
from collections import Counter
from pathlib import Path

import limnad
from limnad.client import Job

EPOCHS = [
    ["to be or not to be", "that is the question"],
    ["whether it is nobler in the mind to suffer", "the slings and arrows of outrageous fortune"],
    [],
    ["to die to sleep", "no more"],
]


def expected() -> list[Counter[str]]:
    return [Counter(word for line in lines for word in line.split()) for lines in EPOCHS]


def counted(job: Job) -> list[Counter[str]]:
    lines = job.input("lines")
    for epoch, batch in enumerate(EPOCHS):
        if batch:
            lines.on_next(batch)
        lines.advance_to(epoch + 1)
    lines.close()
    return [Counter(dict(rows)) for _, rows in job.subscribe("counts")][: len(EPOCHS)]


def compare(job: str, found: list[Counter[str]]) -> None:
    wrong = [epoch for epoch, (want, got) in enumerate(zip(expected(), found, strict=True)) if want != got]
    for epoch in wrong:
        print(f"epoch {epoch}: expected {dict(expected()[epoch])}, got {dict(found[epoch])}")
    if wrong:
        sys.exit("the cluster counts words wrong: see above")
    print(f"{job}: {sum(map(Counter.total, found))} words of {len(EPOCHS)} epochs counted right")


def main() -> None:
    address = os.environ["LIMNAD_CLUSTER"]
    tls, token_file = os.environ.get("LIMNAD_TLS_CA"), os.environ.get("LIMNAD_TOKEN_FILE")
    # Without TLS a token goes in plain text because whoever configured the cluster wanted it so.
    with limnad.Client(address, tls=tls, token_file=token_file, insecure=tls is None) as client:
        agents = client.cluster(wait_s=120).agents
        print(f"{address}: {len(agents)} workers")
        job = client.submit(str(Path(__file__).with_name("wordcount.py")))
        found = counted(job)
        job.wait()
    compare(job.name, found)


if __name__ == "__main__":
    main()
