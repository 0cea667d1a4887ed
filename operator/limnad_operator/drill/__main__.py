"""``python -m limnad_operator.drill``: what `limnad drill --kubernetes` becomes."""

from __future__ import annotations

import argparse
import signal
import sys

from limnad.errors import ClusterError
from limnad_operator.api import ApiError
from limnad_operator.drill.faults import FAULTS
from limnad_operator.drill.running import Options, run
from limnad_operator.drill.striking import Switches


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser("limnad drill --kubernetes", description="Strikes a cluster while a job runs.")
    parser.add_argument("--namespace", default="limnad", help="of the cluster")
    parser.add_argument("--cluster", default="", help="a LimnadCluster; by default the only one there")
    parser.add_argument("--faults", default="all", help=f"all, or some of {','.join(FAULTS)}")
    parser.add_argument("--minutes", type=float, default=0.0, help="how long to go on")
    parser.add_argument("--rounds", type=int, default=1, help="how often each fault is to strike at least")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds in which each has to be overcome")
    parser.add_argument("--image", default="", help="of the workers after an upgrade; by default they keep theirs")
    parser.add_argument("--stop-node", default="", metavar="COMMAND", help="what switches off the node {node}")
    parser.add_argument("--start-node", default="", metavar="COMMAND", help="what switches it on again")
    parser.add_argument("--kubeconfig", help="by default KUBECONFIG, or this pod's account")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    told = parser.parse_args()
    if bool(told.stop_node) != bool(told.start_node):
        parser.error("--stop-node and --start-node go together: what was switched off is switched on again")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # What was done is taken back.
    options = Options(
        namespace=told.namespace,
        cluster=told.cluster,
        faults=[name.strip() for name in told.faults.split(",")],
        minutes=told.minutes,
        rounds=told.rounds,
        limit_s=told.limit,
        image=told.image,
        switches=Switches(told.stop_node, told.start_node),
        kubeconfig=told.kubeconfig,
        as_json=told.json,
    )
    try:
        sys.exit(run(options))
    except (ClusterError, ApiError) as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()
