"""One container of a pod: started, watched, started again, ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from tests.kubernetes.apiserver.kubelet.environment import Missing
from tests.kubernetes.apiserver.kubelet.probes import Prober
from tests.kubernetes.apiserver.kubelet.process import Launch, Process
from tests.kubernetes.apiserver.objects import Object, now

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
"""Before a container that has crashed is started again; a kubelet's own are twenty times as long."""

LOOK_AGAIN_S: Final = 0.2
"""For what was missing."""

_REASONS: Final = {0: "Completed", 137: "Error"}


class Container:
    """Runs until it is to end, or has.

    Args:
        spec: As the pod describes it.
        folder: For its logs.
        restart: Always, OnFailure or Never.
        launch: Makes what to start.
        ask: Probes a process once.
        tell: Called when its status has changed; with a reason and words also an event.
    """

    def __init__(
        self,
        spec: Object,
        folder: Path,
        restart: str,
        launch: Callable[[Object, Path], Launch | None],
        ask: Callable[[Object, Process, Object], Awaitable[str]],
        tell: Callable[[str, str], None],
    ) -> None:
        self.spec = spec
        self.process: Process | None = None
        self.state: Object = {"waiting": {"reason": "ContainerCreating"}}
        self.code: int | None = None
        self.restarts = 0
        self._last: Object = {}
        self._folder = folder
        self._restart = restart
        self._launch = launch
        self._ask = ask
        self._tell = tell
        self._prober: Prober | None = None
        self._ending = False
        self._started_at = ""

    @property
    def ready(self) -> bool:
        """Whether it can be used."""
        return "running" in self.state and self._prober is not None and self._prober.ready

    def log_path(self, *, previous: bool = False) -> Path:
        """What it has printed since its last start, or before that."""
        return self._folder / f"{self.restarts - previous}.log"

    async def run(self) -> None:
        """Returns when it has ended for good."""
        self._folder.mkdir(parents=True, exist_ok=True)
        pause_s = FIRST_PAUSE_S
        while True:
            launch = await self._prepared()
            if launch is None:
                return
            loop = asyncio.get_running_loop()
            begun = loop.time()
            self.code = await self._live(launch)
            if self._ending or self._restart == "Never" or (self._restart == "OnFailure" and self.code == 0):
                return
            if loop.time() - begun > 2 * LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _prepared(self) -> Launch | None:
        """What to start, when all is there that it needs; None: it is to end."""
        told = ""
        while not self._ending:
            try:
                launch = self._launch(self.spec, self.log_path())
            except Missing as error:
                told = self._wait(told, "CreateContainerConfigError", str(error))
            else:
                if launch is not None:
                    return launch
                image = self.spec.get("image", "")
                told = self._wait(told, "ImagePullBackOff", f'Back-off pulling image "{image}": not found')
            await asyncio.sleep(LOOK_AGAIN_S)
        return None

    def _wait(self, told: str, reason: str, message: str) -> str:
        if message != told:
            self.state = {"waiting": {"reason": reason, "message": message}}
            self._tell("Failed", message)
        return message

    async def _live(self, launch: Launch) -> int:
        process = self.process = await Process.start(launch)
        if self._ending:  # It was told to end before it was there to hear it.
            process.kill()
        self._started_at = now()
        self.state = {"running": {"startedAt": self._started_at}}
        prober = self._prober = Prober(lambda spec: self._ask(self.spec, process, spec), self.spec, self._probed)
        self._tell("Started", f"Started container {self.spec['name']}")
        probing = asyncio.ensure_future(prober.run())
        doomed = asyncio.ensure_future(self._doom(prober, process))
        try:
            code = await process.wait()
        finally:
            for task in (probing, doomed):
                task.cancel()
            await asyncio.gather(probing, doomed, return_exceptions=True)
        self.process = None
        self.state = {
            "terminated": {
                "exitCode": code,
                "reason": _REASONS.get(code, "Error"),
                "startedAt": self._started_at,
                "finishedAt": now(),
                "containerID": f"process://{self.spec['name']}-{self.restarts}",
            }
        }
        self._tell("", "")
        return code

    async def _doom(self, prober: Prober, process: Process) -> None:
        await prober.dead.wait()
        self._tell("Killing", f"Container {self.spec['name']} failed a probe, will be restarted")
        process.signal(signal.SIGTERM)
        await asyncio.sleep(LONGEST_PAUSE_S)
        process.kill()

    def _probed(self, kind: str, wrong: str) -> None:
        self._tell("Unhealthy" if kind else "", f"{kind} probe failed: {wrong}" if kind else "")

    async def _pause(self, pause_s: float) -> None:
        self._last = self.state
        self.restarts += 1
        name = self.spec["name"]
        message = f"back-off {pause_s:g}s restarting failed container={name}"
        self.state = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        self._tell("BackOff", f"Back-off restarting failed container {name}")
        await asyncio.sleep(pause_s)

    def end(self) -> None:
        """Asks it to end: SIGTERM; it is not started again."""
        self._ending = True
        if self.process is not None:
            self.process.signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._ending = True
        if self.process is not None:
            self.process.kill()

    def status(self) -> Object:
        """As the pod's status has it."""
        told: Object = {
            "name": self.spec["name"],
            "image": self.spec.get("image", ""),
            "imageID": self.spec.get("image", ""),
            "ready": self.ready,
            "started": "running" in self.state and self._prober is not None and self._prober.started,
            "restartCount": self.restarts,
            "state": self.state,
            "lastState": self._last,
        }
        if "running" in self.state:
            told["containerID"] = f"process://{self.spec['name']}-{self.restarts}"
        return told
