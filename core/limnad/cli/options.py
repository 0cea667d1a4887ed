"""The options of `limnad run` and `limnad drill`: what they are called, take, and say of themselves."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from limnad.cli.durations import seconds
from limnad.cli.sizes import size_bytes
from limnad.errors import JobError

DEFAULT_STORE = "dir:.limnad"
"""Where checkpoints are kept if nobody says: beside the job, for one machine."""

_PANEL = "Checkpoints"
_WATCHING = "Metrics and logs"

Target = Annotated[
    str, typer.Argument(metavar="JOB.PY[:FUNCTION]", help="The job file; the function is `job` by default.")
]
Arguments = Annotated[
    list[str] | None,
    typer.Option("-a", "--arg", metavar="KEY=VALUE", help="An argument of the job's function; may be repeated."),
]
Workers = Annotated[int, typer.Option("-w", "--workers", help="How many worker processes, 1 to 256.")]
Feed = Annotated[
    list[str] | None,
    typer.Option(
        metavar="INPUT=FILE",
        help="Feed a hand-fed input with JSON lines from a file (`-`: standard input); a blank line ends an epoch.",
    ),
]
Show = Annotated[
    int,
    typer.Option(
        min=0, metavar="ROWS", help="How many rows of each output and epoch to print; 0: only how many there are."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines.")]
Port = Annotated[
    int, typer.Option(min=0, max=65535, metavar="PORT", help="Where the agent listens on loopback; 0: anywhere.")
]
Ui = Annotated[bool, typer.Option("--ui", help="Serve a web page of all jobs on loopback, and print its URL.")]
UiPort = Annotated[
    int | None,
    typer.Option(min=0, max=65535, metavar="PORT", help="The page's port (implies --ui); by default any that is free."),
]
StateLimit = Annotated[
    int | None,
    typer.Option(
        metavar="SIZE",
        parser=size_bytes,
        help="How much state (such as `2GiB`) each worker may hold before the job fails, naming its largest stages; "
        "from three quarters of it on sources wait.",
        show_default="no limit",
    ),
]
Mode = Literal["none", "local", "global", "local+global"]
Progress = Annotated[
    Mode,
    typer.Option(
        help="How progress updates are gathered: at each worker (`local`), at a coordinator, which is one process more "
        "(`global`), at both, or not at all.",
    ),
]
ProgressOfJob = Annotated[
    Mode | None,
    typer.Option(
        help="How progress updates are gathered; see `limnad run --help`.", show_default="as the cluster does"
    ),
]

# -- checkpoints -------------------------------------------------------------------------------------------------------


def _often(default: str) -> Any:
    return typer.Option(
        rich_help_panel=_PANEL,
        metavar="TIME",
        parser=seconds,
        help="Make a checkpoint this often, such as `5s`: workers that die are started again from the newest one.",
        show_default=default,
    )


Checkpoint = Annotated[float | None, _often("10s with --store or --resume")]
CheckpointOfJob = Annotated[float | None, _often("10s, unless --checkpoint-epochs is given")]
CheckpointEpochs = Annotated[
    int | None,
    typer.Option(rich_help_panel=_PANEL, min=1, metavar="N", help="Make a checkpoint after every N complete epochs."),
]
StoreUrl = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_PANEL,
        metavar="URL",
        help="Where checkpoints are kept: `dir:PATH` or `redis://HOST:PORT/DB`.",
        show_default=DEFAULT_STORE,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(rich_help_panel=_PANEL, help="The job's name in the store.", show_default="the job file's name"),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", rich_help_panel=_PANEL, help="Go on from the newest checkpoint in the store."),
]
Keep = Annotated[
    int | None,
    typer.Option(rich_help_panel=_PANEL, min=1, metavar="N", help="How many checkpoints are kept.", show_default="3"),
]
Delivery = Annotated[
    Literal["eager", "committed"],
    typer.Option(
        rich_help_panel=_PANEL,
        help="Show an epoch at once (`eager`), or when a checkpoint covers it (`committed`).",
    ),
]
MaxRestarts = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=_PANEL,
        min=1,
        metavar="N",
        help="Give the job up when it was started again so often within the window.",
        show_default="10",
    ),
]
RestartWindow = Annotated[
    float | None,
    typer.Option(
        rich_help_panel=_PANEL,
        metavar="TIME",
        parser=seconds,
        help="For how long a restart counts.",
        show_default="60s",
    ),
]

# -- watching it -------------------------------------------------------------------------------------------------------

MetricsPort = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=65535,
        rich_help_panel=_WATCHING,
        metavar="PORT",
        help="Serve metrics for Prometheus on this port of loopback; 0: anywhere, it is printed.",
        show_default="not served",
    ),
]
LogFormat = Annotated[
    Literal["text", "json"] | None,
    typer.Option(
        rich_help_panel=_WATCHING,
        help="Log what agent and workers do to standard error, in lines of this kind.",
        show_default="not logged",
    ),
]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error"] | None,
    typer.Option(rich_help_panel=_WATCHING, help="Log from this level on.", show_default="info"),
]

# -- limnad drill ------------------------------------------------------------------------------------------------------

DrillTarget = Annotated[
    str | None,
    typer.Argument(metavar="[JOB.PY[:FUNCTION]]", help="The job file. On Kubernetes the drill has a job of its own."),
]
Faults = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        # With spaces, so that the lists are wrapped and not cut off.
        help="What to do to the job: `all`, or some of `kill-worker, kill-all-workers, kill-agent, "
        "kill-coordinator, kill-twice, freeze-worker, reset, partition, one-way, slow-links`. On Kubernetes: `worker, "
        "leader, coordinator, operator, redis, drain, lost-node, scale, upgrade, partition`.",
        show_default="kill-worker, kill-all-workers, kill-agent, reset; on Kubernetes all",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="MINUTES",
        help="How long to go on; each fault gets one run at least.",
        show_default="1; on Kubernetes one round",
    ),
]
DrillCheckpoint = Annotated[
    float | None,
    typer.Option(metavar="TIME", parser=seconds, help="Make a checkpoint this often.", show_default="500ms"),
]
DrillStore = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Where checkpoints are kept.", show_default="a directory of its own"),
]
Seed = Annotated[int, typer.Option(help="Decides when the faults strike, and whom.")]
_ON_KUBERNETES = "A drill on Kubernetes"
OnKubernetes = Annotated[
    bool,
    typer.Option(
        "--kubernetes",
        rich_help_panel=_ON_KUBERNETES,
        help="Strike a cluster on Kubernetes, by its API server. Needs `limnad[operator]`.",
    ),
]
DrillNamespace = Annotated[
    str | None, typer.Option(rich_help_panel=_ON_KUBERNETES, help="Where the cluster is.", show_default="limnad")
]
DrillCluster = Annotated[
    str | None,
    typer.Option(rich_help_panel=_ON_KUBERNETES, help="A LimnadCluster.", show_default="the only one there"),
]
DrillRounds = Annotated[
    int | None,
    typer.Option(
        min=1, rich_help_panel=_ON_KUBERNETES, help="How often each fault is to strike at least.", show_default="1"
    ),
]
DrillLimit = Annotated[
    float | None,
    typer.Option(
        metavar="TIME",
        parser=seconds,
        rich_help_panel=_ON_KUBERNETES,
        help="In which each fault has to be overcome.",
        show_default="5m",
    ),
]
DrillImage = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=_ON_KUBERNETES,
        help="The workers' image after an upgrade.",
        show_default="the same, with another annotation of the pods",
    ),
]
DrillStopNode = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        rich_help_panel=_ON_KUBERNETES,
        help="What switches the node {node} off, as in 'docker pause {node}'.",
        show_default="no node is lost",
    ),
]
DrillStartNode = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND", rich_help_panel=_ON_KUBERNETES, help="What switches it on again: 'docker unpause {node}'."
    ),
]
DrillKubeconfig = Annotated[
    str | None, typer.Option(rich_help_panel=_ON_KUBERNETES, help="How to reach the API server.")
]


def pairs(given: list[str], usage: str) -> dict[str, str]:
    """Splits ``KEY=VALUE`` options.

    Raises:
        JobError: One has no ``=``.
    """
    found: dict[str, str] = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise JobError(f"{pair!r} is not of the form {usage}")
        found[key] = value
    return found
