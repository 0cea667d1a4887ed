"""``limnad run``."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live
from rich.text import Text

from limnad.cli.feeding import Feeder
from limnad.cli.report import EXIT_INTERRUPTED, report_error
from limnad.cli.terminal import console
from limnad.cli.view import Rates, live_view, plain_line, summary_line
from limnad.client import Checkpointing, Client, Job, JobStatus, LocalCluster, RecoveryStatus
from limnad.errors import ClusterError, JobError, JobFailed, LimnadError, MissedEpochs

MAX_LOST_AGENTS = 10
"""How many agents a run may lose before it is given up."""

LAST_PRINTS_S = 2.0
"""How long what an agent has printed that is gone is waited for."""

PLAIN_INTERVAL_S = 2.0
"""How often a line is printed where there is no terminal."""


@dataclass(frozen=True)
class RunOptions:
    """What was asked for; see `limnad.cli.app.run`."""

    target: str
    workers: int
    arguments: Mapping[str, str]
    feeds: Mapping[str, str]
    show: int
    as_json: bool
    port: int
    ui_port: int | None
    progress: str
    checkpointing: Checkpointing | None
    metrics_port: int | None
    environment: Mapping[str, str]


def run_job(options: RunOptions) -> int:
    """Runs a job to its end; returns the exit code."""
    from limnad.stream.jobfile import job_file, split_target

    path, function = split_target(options.target)
    job_file(path)
    for file in options.feeds.values():
        if file != "-" and (not Path(file).exists() or Path(file).is_dir()):  # A pipe or a device is as good.
            raise JobError(f"there is no file {file!r} to feed (looked from {Path.cwd()})")
    screen = Screen(options)
    try:
        return _until_ended(options, path, function, screen)
    except KeyboardInterrupt:
        again = "; go on with --resume" if options.checkpointing else ""
        screen.say(f"interrupted: all workers were ended{again}")
        return EXIT_INTERRUPTED


def _until_ended(options: RunOptions, path: str, function: str, screen: Screen) -> int:
    """Runs the job; with checkpoints also when its agent dies, which starts workers but is one process like them."""
    checkpointing = options.checkpointing
    job: Job | None = None
    lost = 0
    ui_port = options.ui_port
    while True:
        try:
            with LocalCluster(
                options.workers,
                options.port,
                output=subprocess.PIPE,
                ui_port=ui_port,
                metrics_port=options.metrics_port,
                environment=options.environment,
            ) as cluster:
                screen.follow_prints(*cluster.streams)
                if cluster.metrics is not None:
                    screen.say(f"metrics: {cluster.metrics}")
                if cluster.ui is not None and not lost:
                    screen.say(f"the run's page: {cluster.ui}")
                    ui_port = urlsplit(cluster.ui).port  # The page that is open now finds the next agent, too.
                with Client(cluster.address, patience_s=0) as client:
                    job = client.submit(
                        path,
                        function,
                        arguments=options.arguments,
                        workers=options.workers,
                        progress=options.progress,
                        checkpointing=checkpointing,
                        upload=False,
                    )
                    return screen.watch(job)
        except ClusterError as error:
            screen.settle()
            lost += 1
            if checkpointing is None or job is None or lost > (checkpointing.max_restarts or MAX_LOST_AGENTS):
                raise
            screen.say(f"{error}. Starting again from the newest checkpoint")
            checkpointing = replace(checkpointing, resume=True)
        finally:
            screen.hear_out()


class Screen:
    """What the user sees of a run: rows on standard output, everything else on standard error."""

    def __init__(self, options: RunOptions) -> None:
        self._options = options
        named = options.checkpointing.name if options.checkpointing else ""
        self._name = named or Path(options.target.partition(":")[0]).stem
        self._err = console(stderr=True)
        # On one terminal the live view has to know of everything that is printed above it.
        one_terminal = self._err.is_terminal and sys.stdout.isatty()
        self._out = self._err if one_terminal else console()
        self._rates = Rates()
        self._next_line_s = PLAIN_INTERVAL_S
        self._printers: list[threading.Thread] = []
        # Why we end the run ourselves: a row that cannot be fed, an output that cannot be printed.
        self._error: LimnadError | None = None
        # Why the outputs of this agent's run were not read to their end.
        self._cut_off: ClusterError | None = None
        self._outputs: threading.Thread | None = None
        durable = options.checkpointing is not None
        self._feeders = [
            Feeder(name, file, durable=durable, failed=self._cannot_feed, say=self.say)
            for name, file in options.feeds.items()
        ]
        self._next_epochs: dict[str, int] = {}
        self._told_start = False
        self._told_restarts = 0
        self._told_drops = 0
        self._told_waiting = ""

    def follow_prints(self, out: IO[bytes], err: IO[bytes]) -> None:
        """Passes on what the job's own code prints, above the live view."""
        for source, on in ((out, self._out), (err, self._err)):
            thread = threading.Thread(target=self._pass_on, args=(source, on), daemon=True)
            thread.start()
            self._printers.append(thread)

    def hear_out(self) -> None:
        """Waits until all that an agent has printed which is gone has been passed on."""
        for printer in self._printers:
            printer.join(LAST_PRINTS_S)  # A process that the job's own code has started may hold the pipe for ever.
        self._printers.clear()

    @staticmethod
    def _pass_on(source: IO[bytes], on: Console) -> None:
        for line in source:
            on.print(Text(line.decode(errors="replace").rstrip("\n")), soft_wrap=True)

    def watch(self, job: Job) -> int:
        """Shows the run until it ends; returns the exit code."""
        outputs = self._outputs = threading.Thread(target=self._print_outputs, args=(job,), daemon=True)
        outputs.start()
        status: JobStatus | None = None
        with self._live() as live:
            fed = False
            for status in job.watch():
                if not fed and status.state == "running":
                    fed = True
                    self._feed(job, status)
                if self._error is not None:
                    job.cancel()
                    break
                self._update(live, job, status)
            outputs.join()
        if self._error is not None:
            return report_error(self._error, self._err)
        if status is None:
            raise ClusterError("the agent ended before it told anything about the job")
        if self._cut_off is not None and status.state == "finished":
            raise self._cut_off  # It may have told that the job has finished, and not all that the job put out.
        return self._conclude(status)

    def settle(self) -> None:
        """Waits until what came from an agent that is gone has been printed: the next one goes on behind it."""
        if self._outputs is not None:
            self._outputs.join()
        self._cut_off = None

    def _live(self) -> Any:
        if self._options.as_json or not self._err.is_terminal:
            return contextlib.nullcontext()
        return Live(console=self._err, transient=True, auto_refresh=False)

    def _update(self, live: Live | None, job: Job, status: JobStatus) -> None:
        self._tell_recovery(status)
        rate = self._rates.add(status.running_s, status.rows_in)
        if live is not None:
            live.update(live_view(status, self._name, self._options.workers, rate), refresh=True)
        elif status.running_s >= self._next_line_s and status.state == "running" and not self._options.as_json:
            self._next_line_s = status.running_s + PLAIN_INTERVAL_S
            self.say(plain_line(status, rate))

    def _tell_recovery(self, status: JobStatus) -> None:
        told = status.recovery
        checkpointing = self._options.checkpointing
        if not self._told_start and status.state == "running":
            self._told_start = True
            if checkpointing is not None and checkpointing.resume:
                self.say(_start(told, checkpointing))
        if told.restarts > self._told_restarts:
            start = f"checkpoint {told.checkpoint}" if told.checkpoint else "the inputs' beginning"
            self.say(f"{told.last_fault} Started again from {start} (restart {told.restarts}).")
        if told.dropped > self._told_drops:
            self.say(f"a checkpoint was dropped: {told.last_drop}")
        if told.waiting and told.waiting != self._told_waiting:
            self.say(told.waiting)
        self._told_restarts, self._told_drops, self._told_waiting = told.restarts, told.dropped, told.waiting

    def _conclude(self, status: JobStatus) -> int:
        if self._options.as_json:
            told = {key: value for key, value in asdict(status).items() if key != "failure"}
            told["error"] = str(status.failure) if status.failure else None
            print(json.dumps({"summary": told}), flush=True)
            return 1 if status.failure or status.state != "finished" else 0
        if status.failure is not None:
            return report_error(status.failure, self._err)
        self.say(summary_line(status, self._options.workers))
        return 0 if status.state == "finished" else 1

    def say(self, line: str) -> None:
        """One line on standard error."""
        self._err.print(Text(line), soft_wrap=True)

    def _print_outputs(self, job: Job) -> None:
        from limnad.cli.outputs import json_line, print_epoch  # Polars is loaded while the job starts.

        try:
            with contextlib.suppress(JobFailed):
                for output, epoch, batch in job.outputs(from_epochs=self._next_epochs):
                    self._next_epochs[output] = epoch + 1
                    if self._options.as_json:
                        print(json_line(output, epoch, batch), flush=True)
                    else:
                        print_epoch(self._out, output, epoch, batch, self._options.show)
        except MissedEpochs as error:
            self._error = error
        except ClusterError as error:
            self._cut_off = error
        except (OSError, SystemExit) as error:  # Rich raises SystemExit when nobody reads any more
            why = error.strerror if isinstance(error, OSError) else "nobody reads it any more"
            self._error = JobError(f"standard output cannot be written ({why}): the run was ended")
            # What is still buffered would be complained of when Python exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    # -- feeding -------------------------------------------------------------------------------------------------------

    def _feed(self, job: Job, status: JobStatus) -> None:
        """Starts to feed the hand-fed inputs."""
        feeds = self._options.feeds
        if missing := [name for name in status.inputs if name not in feeds]:
            self._error = JobError(
                f"the input {missing[0]!r} is fed by hand: give it rows with --feed {missing[0]}=FILE (JSON lines; - "
                "is standard input), or feed it from a program with limnad.local"
            )
        elif unknown := [name for name in feeds if name not in status.inputs]:
            known = ", ".join(status.inputs) or "none"
            self._error = JobError(f"the job has no hand-fed input {unknown[0]!r}; it has: {known}")
        if self._error is None:
            for feeder in self._feeders:
                feeder.feed(job)

    def _cannot_feed(self, error: LimnadError) -> None:
        self._error = error


def _start(told: RecoveryStatus, checkpointing: Checkpointing) -> str:
    """From where a run goes on that was to go on."""
    if told.checkpoint:
        return f"going on from checkpoint {told.checkpoint}"
    return f"{checkpointing.store} holds no checkpoint of this job: starting from the inputs' beginning"
